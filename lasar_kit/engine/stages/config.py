"""Options of the stages; read when a spec is checked, so nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from lasar_kit.engine.stages.text_config import (
    PromptRule,
    ReasoningTextConfig,
    TasksConfig,
    TextConfig,
)
from lasar_kit.engine.stages.training_config import (
    Inputs,
    Line,
    Precision,
    RlOptimizerConfig,
    TrainingConfig,
)
from lasar_kit.spec import ComponentConfig, DecoderConfig, Ranks, SpecModel, StageConfig, component


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
    item_drop: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Leaves items out of training sequences, others each epoch: a sample draws a rate from 0 "
        "to this, and loses each item but its last with that probability. Models then also learn what comes "
        "later, and overfit less.",
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

    @property
    def prompt_rule(self) -> PromptRule:
        """Which prompts are trained on; packed ones are those of every prefix."""
        return "longest_per_user" if self.samples == "longest_per_user" else "sliding"

    def cautions(self, backbone: ComponentConfig, line: Line, inputs: Inputs) -> Iterator[str]:
        """Texts are paid for, and those about prompts that are not trained on are for nothing."""
        yield from super().cautions(backbone, line, inputs)
        asked = []
        if "anchors" in inputs:
            name, anchors = inputs["anchors"]
            asked.append((f"stages.{name}.samples", getattr(anchors, "samples", None)))
            if self.item_drop:
                yield "item_drop leaves items out of prompts whose anchors were made with all of them"
        if self.reasoning_text.weight:
            asked.append(("reasoning_text.samples", self.reasoning_text.samples))
        for option, rule in asked:
            if rule not in (None, self.prompt_rule):
                what = "prompts it never sees" if rule == "sliding" else "few of its prompts"
                yield f"samples is {self.samples!r} but {option} is {rule!r}: texts are of {what}"


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

    epochs: float = Field(1, gt=0, description="Passes over the samples.")
    optimizer: RlOptimizerConfig = Field(
        default_factory=RlOptimizerConfig, description="AdamW and its schedule."
    )
    candidates: int = Field(8, ge=1, description="Candidates a prompt (paper: G).")
    rollout: Annotated[ComponentConfig, component("decoder")] = Field(
        {"use": "trie_beam", "score": "trie"},
        description="Makes the candidates; its `width` is their number unless a wider beam is to be cut to "
        "the best of it.",
        validate_default=True,
    )
    depth: Literal["sample", "argmax"] = Field(
        "sample", description="How a prompt's depth is taken from the policy during training."
    )
    rewards: tuple[WeightedReward, ...] = Field(
        ({"reward": "rule"}, {"reward": "ndcg"}),
        min_length=1,
        description="Added up: `{reward: rule, weight: 1}`.",
        validate_default=True,
    )
    objectives: tuple[WeightedObjective, ...] = Field(
        ({"objective": "grpo"}, {"objective": "reinforce", "weight": 0.01}),
        min_length=1,
        description="Terms of the loss: `{objective: grpo, weight: 1}`; a second grpo is grpo_2 in the log.",
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
    samples: PromptRule = Field(
        "sliding", description="Every prefix of a user's training part is a prompt, or the longest alone."
    )
    max_samples: int = Field(
        0, ge=0, description="Prompts to train on, drawn once by the seed, the same every epoch; 0 for all."
    )
    gradient_accumulation: int = Field(
        1, ge=1, description="Forward passes that one update of a process is split into; rollouts are not."
    )
    score: Literal["vocabulary", "trie"] = Field(
        "trie", description="What a candidate's token competes with in its log-probability."
    )

    @field_validator("rollout")
    @classmethod
    def _wide_enough(cls, rollout: ComponentConfig, info: ValidationInfo) -> ComponentConfig:
        """One beam or draw a candidate, unless the spec has a width of its own."""
        wanted = info.data.get("candidates")
        if not isinstance(rollout, DecoderConfig) or wanted is None:
            return rollout
        if "width" not in rollout.model_fields_set:
            return rollout.model_copy(update={"width": wanted})
        if rollout.width < wanted or (rollout.draws and rollout.width > wanted):
            least = "" if rollout.draws else "at least "
            raise ValueError(f"width must be {least}{wanted}, the number of candidates (got {rollout.width})")
        return rollout

    def cautions(self, backbone: ComponentConfig, line: Line, inputs: Inputs) -> Iterator[str]:
        """An objective may say (`draws_depth`) that it learns from depths that were drawn."""
        yield from super().cautions(backbone, line, inputs)
        for entry in self.objectives:
            if self.depth == "argmax" and getattr(entry.objective, "draws_depth", False):
                yield (
                    f"{entry.objective.use} needs drawn depths, but depth is 'argmax': it only sees what the "
                    "policy finds best already; set 'depth: sample'"
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
    depth: Literal["argmax", "sample"] | Annotated[int, Field(ge=0)] = Field(
        "argmax",
        description="How long to think: what the policy finds best, a draw from it, or a number for all.",
    )
    decoder: Annotated[DecoderConfig | None, component("decoder"), Ranks] = Field(
        None, description="How items are ranked here; as the spec's `decoder` says when absent."
    )
    max_users: int = Field(0, ge=0, description="Users asked, drawn by the seed; 0 for all.")
    batch_size: int = Field(64, ge=1, description="Users decoded at once.")
    keep: int = Field(20, ge=1, description="Items of a line in predictions.jsonl.")
    precision: Precision = Field("fp32", description="Of the forward passes.")

    def mistakes(self, line: Line) -> Iterator[tuple[str, str]]:
        """A depth must be one that the model's policy can choose, as far as its config tells (`support`)."""
        trained = (stage for _, stage in line if not isinstance(stage, RlConfig))
        support = getattr(getattr(next(trained, None), "depth_policy", None), "support", None)
        if support is not None and isinstance(self.depth, int) and self.depth not in support:
            valid = ", ".join(map(str, support))
            yield "depth", f"depth {self.depth} cannot be forced: this model's depth policy has {valid}"
