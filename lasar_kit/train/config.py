"""Options that training stages share; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import AlignerConfig, BackboneConfig, SpecModel, StageConfig
from lasar_kit.spec.compilation import Compiler
from lasar_kit.spec.components import components
from lasar_kit.spec.precision import Precision

Line = Sequence[tuple[str, StageConfig]]
"""The stages that a checkpoint has gone through, by name, the latest first."""

Inputs = Mapping[str, tuple[str, StageConfig]]
"""The stages that a stage reads from, by type of artifact."""

PromptRule = Literal["sliding", "longest_per_user"]
"""Every prefix of a user's training part is a prompt, or the longest alone."""

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(SpecModel):
    """AdamW, its rate warmed up linearly, then constant or falling with a cosine."""

    lr: float = Field(
        1e-3,
        gt=0,
        description="Peak learning rate. The default is for a small model from scratch; one that is "
        "pretrained, or that a stage goes on with, wants less (paper: 5e-4 in stage 1, 5e-5 in stage 2).",
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Of the rate behind the warmup: half a cosine down to 0, or none."
    )
    warmup: float = Field(0.08, ge=0, lt=1, description="Share of all updates spent warming up.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled; on weight matrices only.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="Decay of the moment estimates.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class RlOptimizerConfig(OptimizerConfig):
    """AdamW with its schedule, as slow as RL wants it."""

    lr: float = Field(1e-5, gt=0, description="Peak learning rate (paper: 1e-5, of a model of 0.6 B).")


class TrainingConfig(StageConfig):
    """Options of all training stages; one of a plugin's own need not say again what it reads and leaves."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids")
    accepts: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "backbone", "prompt", "decoder")
    sharded: ClassVar[bool] = True
    stoppable: ClassVar[bool] = True
    unkeyed: ClassVar[tuple[str, ...]] = ("checkpoint_every",)
    unread: ClassVar[Mapping[str, tuple[str, ...]]] = {"decoder": ("width", "table_megabytes")}
    epochs: float = Field(10, gt=0, description="Passes over the samples.")
    batch_size: int = Field(
        64, ge=1, description="Samples an update (users, when packed), over all processes and accumulation."
    )
    by_length: bool = Field(
        True,
        description="Samples of similar length share a batch, which pads little; if false, an epoch is "
        "a plain shuffle.",
    )
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig, description="AdamW and its schedule.")
    precision: Precision = Field(
        "fp32", description="Of all forward passes, validations and rollouts too; weights stay as they are."
    )
    compile: Compiler | None = Field(
        None,
        description="torch.compile's backend for the backbone's layers: `inductor` writes kernels, which "
        "takes a minute at first; `aot_eager` traces only, to look for what cannot be compiled.",
    )
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
    keep: Literal["best", "last"] = Field(
        "best", description="Which model is left: that of the best validation, or that of the last update."
    )
    log_every: int = Field(20, ge=1, description="Updates between two lines of the log.")
    checkpoint_every: int = Field(
        100, ge=0, description="Updates between checkpoints, from which a cut-off run goes on; 0 for none."
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """A checkpoint, where a component reads the item vectors of one."""
        return ("checkpoint",) if any(part.reads_checkpoint for part in components(self)) else ()

    @property
    def trains_text(self) -> bool:
        """Whether the backbone learns from any text besides its prompt's."""
        return False

    def teaches_depth(self, inputs: Inputs) -> bool:
        """Yes, unless a stage says otherwise: `check` warns only of what it knows."""
        return True

    def cautions(self, backbone: BackboneConfig, line: Line, inputs: Inputs) -> Iterator[str]:
        """Weights in bfloat16 lose small updates to rounding; adapters have float32 weights of their own. An
        aligner that the spec names does nothing where there are no anchors, and what the head predicts from
        another model's states means nothing.
        """
        if backbone.rounds_updates and not line:
            yield (
                "backbone.dtype is 'bfloat16' and 'lora' is null: most updates of such weights are rounded "
                "away; keep them in float32, and set 'precision: bf16' to compute in bfloat16"
            )
        aligner, named = self.own_aligner, "aligner" in self.model_fields_set
        if named and aligner is not None and aligner.use != "none" and "anchors" not in inputs:
            yield (
                f"aligner {aligner.use!r} has no anchors to hold thoughts to, so it does nothing; add a "
                "stage 'anchors' before this one, or set 'aligner: none'"
            )
        by_head = isinstance(aligner, AlignerConfig) and aligner.reads_by_head
        if by_head and "anchors" in inputs and inputs["anchors"][1].own_reader is not None:
            name = inputs["anchors"][0]
            yield (
                f"the anchors of {name!r} are states of another language model, which this one's head was "
                "never trained to read; compare them as they are ('space: hidden')"
            )
