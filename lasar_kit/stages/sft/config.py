"""Options of the stage sft; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig, component
from lasar_kit.stages.sft.text_config import ReasoningTextConfig, TasksConfig, TextConfig
from lasar_kit.train.config import Inputs, Line, PromptRule, TrainingConfig


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
