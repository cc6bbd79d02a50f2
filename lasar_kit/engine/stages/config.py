"""Options of the stages; read when a spec is checked, so nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lasar_kit.engine.stages.text_config import ReasoningTextConfig, TasksConfig, TextConfig
from lasar_kit.spec import ComponentConfig, SpecModel, StageConfig, component

Precision = Literal["fp32", "bf16"]


class TokenizeConfig(StageConfig):
    """Item text to semantic IDs."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset",)
    produces: ClassVar[str] = "sids"
    sharded: ClassVar[bool] = True

    text_encoder: Annotated[ComponentConfig, component("text_encoder")] = Field(
        "tfidf_svd", validate_default=True, description="Embeds the items."
    )
    quantizer: Annotated[ComponentConfig, component("quantizer")] = Field(
        "rq_kmeans", validate_default=True, description="Turns embeddings into codes."
    )
    collision: Literal["reassign", "suffix", "allow"] = Field(
        "reassign",
        description="Items with one SID: move all but one to the nearest free code of the last level, "
        "tell them apart by one more level for all items, or let them share it.",
    )


class OptimizerConfig(SpecModel):
    """AdamW under a cosine schedule with linear warmup."""

    lr: float = Field(1e-3, gt=0, description="Peak learning rate.")
    warmup: float = Field(0.08, ge=0, lt=1, description="Share of all updates spent warming up.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled; on weight matrices only.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Decay of the moment estimates.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class AnchorsConfig(StageConfig):
    """A teacher's reasoning as anchors for alignment."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    produces: ClassVar[str] = "anchors"
    sharded: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history")

    teacher: Annotated[ComponentConfig, component("teacher")] = Field(
        "template", description="Writes the reasoning.", validate_default=True
    )
    segmenter: Annotated[ComponentConfig, component("segmenter")] = Field(
        "steps", description="Cuts it into segments.", validate_default=True
    )
    context: Literal["segment_only", "cumulative", "prompt_prefixed"] = Field(
        "segment_only",
        description="What a segment is read behind: nothing, earlier segments, or these and the prompt.",
    )
    max_segments: int = Field(8, ge=1, description="Segments of a text, the first ones kept.")
    max_samples: int = Field(
        0, ge=0, description="Training prompts to reason about, drawn by the seed; 0 for all."
    )
    batch_tokens: int = Field(8192, ge=1, description="Tokens read at once.")
    dtype: Literal["float16", "float32"] = Field(
        "float16", description="Of the stored states; what float16 cannot hold is an error."
    )

    def cautions(self, backbone: ComponentConfig, line: Sequence[tuple[str, StageConfig]]) -> Iterator[str]:
        """States of texts mean nothing where the backbone has never seen text.

        A backbone is from scratch if it has an option `pretrained` that is null; a training stage that says
        nothing of the matter (`trains_text`) may have trained text; a teacher may say that it writes none
        (`plain_text`).
        """
        if getattr(backbone, "pretrained", backbone) is not None:
            return
        if not getattr(self.teacher, "plain_text", True):
            return
        names = []
        for name, stage in line:
            if getattr(stage, "trains_text", True):
                return
            names.append(name)
            if getattr(stage, "fresh", False):
                break
        yield (
            f"the backbone is from scratch and saw no text in {' and '.join(map(repr, reversed(names)))}, so "
            f"its states of the teacher's texts mean little; add 'text: {{weight: 0.2}}' to "
            f"stages.{names[-1]}, or name a 'pretrained' backbone"
        )


class TrainingConfig(StageConfig):
    """What all training stages have."""

    sharded: ClassVar[bool] = True
    unkeyed: ClassVar[tuple[str, ...]] = ("checkpoint_every",)
    epochs: float = Field(10, gt=0, description="Passes over the samples.")
    batch_size: int = Field(
        64, ge=1, description="Samples an update (users, when packed), over all processes and accumulation."
    )
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig, description="AdamW and its schedule.")
    precision: Precision = Field("fp32", description="Of the forward pass; weights stay fp32.")
    score: Literal["vocabulary", "trie"] = Field(
        "vocabulary",
        description="What an answer token competes with in the loss: all tokens, or those that the trie "
        "allows behind the answer's tokens so far.",
    )
    eval_every: float = Field(1.0, gt=0, description="Epochs between two validations.")
    eval_users: int = Field(2000, ge=0, description="Users of a validation, drawn by the seed; 0 for all.")
    eval_width: int = Field(20, ge=10, description="Beam width of a validation.")
    eval_batch_size: int = Field(64, ge=1, description="Users decoded at once.")
    patience: int = Field(
        3, ge=0, description="Validations without a better NDCG@10 before stopping; 0 never stops."
    )
    log_every: int = Field(20, ge=1, description="Updates between two lines of the log.")
    checkpoint_every: int = Field(
        100, ge=0, description="Updates between two checkpoints, from which --resume goes on; 0 for none."
    )

    @property
    def trains_text(self) -> bool:
        """Whether the backbone learns from any text besides its prompt's."""
        return False


class SftConfig(TrainingConfig):
    """Supervised fine-tuning on next items."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids")
    accepts: ClassVar[tuple[str, ...]] = ("checkpoint", "anchors")
    produces: ClassVar[str] = "checkpoint"
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "backbone", "prompt", "decoder")

    latent_loop: Annotated[ComponentConfig, component("latent_loop")] = Field(
        "none", validate_default=True, description="How to think between prompt and answer."
    )
    depth_policy: Annotated[ComponentConfig, component("depth_policy")] = Field(
        "none", validate_default=True, description="How long to think."
    )
    aligner: Annotated[ComponentConfig, component("aligner")] = Field(
        "none", description="Holds thoughts to anchors.", validate_default=True
    )
    align_weight: float = Field(0.1, ge=0, description="Of the alignment loss (paper: alpha).")
    policy_weight: float = Field(0.1, ge=0, description="Of the depth policy's cross-entropy (paper: beta).")
    depth: Literal["label", "policy", "at_least_label"] = Field(
        "label",
        description="How long a training prompt is thought about: its number of segments; what the policy "
        "would choose; or a draw between that number and the policy's largest depth, which the policy then "
        "learns for every prompt, so that it is left to RL to find how little is enough.",
    )
    fresh: bool = Field(
        False, description="Start from the backbone's own weights even behind an earlier training stage."
    )
    samples: Literal["sliding", "longest_per_user", "packed"] = Field(
        "sliding",
        description="Every prefix of a user's training part, the longest alone, or all prefixes in one pass.",
    )
    pack_items: int | None = Field(
        None, ge=2, description="Items in one packed pass; one more than max_history when absent."
    )
    tasks: TasksConfig = Field(
        default_factory=TasksConfig, description="Weights of next items and of the tasks with texts beside."
    )
    text: TextConfig = Field(default_factory=TextConfig, description="Language modelling on item texts.")
    reasoning_text: ReasoningTextConfig = Field(
        {}, validate_default=True, description="Language modelling on a teacher's texts."
    )
    gradient_accumulation: int = Field(
        1, ge=1, description="Forward passes that one update of a process is split into."
    )

    @property
    def trains_text(self) -> bool:
        """Whether any task with texts is on."""
        return bool(self.text.weight or self.reasoning_text.weight or self.tasks.texts)


class WeightedReward(SpecModel):
    """A reward and its weight."""

    reward: Annotated[ComponentConfig, component("reward")] = Field(description="A reward.")
    weight: float = Field(1.0, description="Factor of the reward.")


class WeightedObjective(SpecModel):
    """An objective and its weight."""

    objective: Annotated[ComponentConfig, component("rl_objective")] = Field(description="An RL objective.")
    weight: float = Field(1.0, ge=0, description="Factor of its loss.")


class RlConfig(TrainingConfig):
    """Reinforcement learning of answers and depth (paper section 2.4)."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    accepts: ClassVar[tuple[str, ...]] = ("anchors",)
    produces: ClassVar[str] = "checkpoint"
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "decoder")

    rollout: Annotated[ComponentConfig, component("decoder")] = Field(
        {"use": "trie_beam", "score": "trie"}, description="Makes the candidates.", validate_default=True
    )
    candidates: int = Field(8, ge=1, description="Candidates a prompt (paper: G).")
    depth: Literal["sample", "argmax"] = Field(
        "sample", description="How a prompt's depth is taken from the policy during training."
    )
    rewards: tuple[WeightedReward, ...] = Field(
        ({"reward": "rule"}, {"reward": "ndcg"}),
        description="Added up: `{reward: rule, weight: 1}`.",
        validate_default=True,
    )
    objectives: tuple[WeightedObjective, ...] = Field(
        ({"objective": "grpo"}, {"objective": "reinforce", "weight": 0.01}),
        description="Terms of the loss: `{objective: grpo, weight: 1}`.",
        validate_default=True,
    )
    aligner: Annotated[ComponentConfig, component("aligner")] = Field(
        "terminal", description="Holds the last thought to the last anchor.", validate_default=True
    )
    align_weight: float = Field(1e-5, ge=0, description="Of the terminal alignment (paper: gamma_KL).")
    depth_cost: float = Field(
        0.0, ge=0, description="NDCG@10 that one thought costs where validations are compared."
    )
    depth_lr: float | None = Field(
        None, gt=0, description="Peak learning rate of the depth policy; that of the optimizer when absent."
    )
    updates_per_rollout: int = Field(1, ge=1, description="Updates on the same candidates.")
    samples: Literal["sliding", "longest_per_user"] = Field(
        "sliding", description="Every prefix of a user's training part is a prompt, or the longest alone."
    )
    max_samples: int = Field(0, ge=0, description="Prompts of an epoch, drawn by the seed; 0 for all.")
    score: Literal["vocabulary", "trie"] = Field(
        "trie", description="What a candidate's token competes with in its log-probability."
    )


class EvaluateConfig(StageConfig):
    """Leave-one-out evaluation over the whole catalogue, beside popularity and item-KNN."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    produces: ClassVar[str] = "report"
    sharded: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "decoder")

    label: str | None = Field(
        None, min_length=1, description="What tables call the model; the stage's name when absent."
    )
    split: Literal["test", "validation"] = Field("test", description="Which held-out item to predict.")
    exclude_history: bool = Field(
        False, description="Leave a user's history out of the lists, the baselines' as well."
    )
    depth: Literal["argmax", "sample"] | int = Field(
        "argmax",
        description="How long to think: what the policy finds best, a draw from it, or a number for all.",
    )
    max_users: int = Field(0, ge=0, description="Users asked, drawn by the seed; 0 for all.")
    batch_size: int = Field(64, ge=1, description="Users decoded at once.")
    keep: int = Field(20, ge=1, description="Items of a line in predictions.jsonl.")
