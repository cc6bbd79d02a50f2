"""The spec of a run: a data set, a model, and the stages that make it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from lasar_kit.spec.bases import BackboneConfig, DecoderConfig, Ranks
from lasar_kit.spec.component import ComponentConfig, SpecModel, component
from lasar_kit.spec.held import Held
from lasar_kit.spec.stage import StageConfig

DATASET = "dataset"
"""Name of the stage that loads the data set, which no other may have."""

LONGEST_NAME = 100

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be a name of letters, digits, '-', '_' and '.'")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"must be at most {LONGEST_NAME} characters long, since a folder is named by it")
    return name


def _check_stage_name(name: str) -> str:
    if name == DATASET:
        raise ValueError("is taken by the stage that loads the data set; choose another name")
    return _check_name(name)


Name = Annotated[str, AfterValidator(_check_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"})]
StageName = Annotated[str, AfterValidator(_check_stage_name)]


class RunSpec(SpecModel):
    """A run: the components that all stages share, and the stages in order."""

    name: Name = Field(description="Name of the run; that of its file when absent.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of all that is random.")
    max_history: int = Field(20, ge=1, description="Items of history a prompt holds, most recent kept.")
    tracking: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="Trackers that get what the log gets; each wants its own package installed."
    )
    hooks: tuple[Annotated[ComponentConfig, component("hook")], ...] = Field(
        (), description="What watches the run, and may end stages early; asked in this order."
    )
    dataset: Annotated[ComponentConfig, component("dataset")] = Field(
        "demo", validate_default=True, description="Where items and sequences come from."
    )
    backbone: Annotated[BackboneConfig, component("backbone")] = Field(
        "qwen3", validate_default=True, description="The language model."
    )
    prompt: Annotated[ComponentConfig, component("prompt")] = Field(
        "minionerec", validate_default=True, description="The text around a history."
    )
    decoder: Annotated[DecoderConfig, component("decoder"), Ranks] = Field(
        "trie_beam", validate_default=True, description="How items are ranked."
    )
    stages: dict[StageName, Annotated[StageConfig, component("stage")]] = Field(
        min_length=1, description="The stages by name, in the order in which they run."
    )

    @field_validator("stages")
    @classmethod
    def _one_training_part(cls, stages: dict[str, StageConfig]) -> dict[str, StageConfig]:
        """What one stage wants held out, no stage may learn from."""
        held = {name: stage.holds_out for name, stage in stages.items() if stage.holds_out is not None}
        if len(set(held.values())) > 1:
            raise ValueError(f"{' and '.join(held)} hold out other items each ('cold'); give all the same")
        return stages

    @property
    def holds_out(self) -> Held | None:
        """Items that are held out of training; None where all are there."""
        return next((held for stage in self.stages.values() if (held := stage.holds_out) is not None), None)
