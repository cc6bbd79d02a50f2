"""Options of the built-in hooks; imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig


class _OfStages(ComponentConfig):
    """Options of a hook that ends stages."""

    stages: tuple[str, ...] | None = Field(
        None, min_length=1, description="Stages that it may end; all that train when absent."
    )


class TargetConfig(_OfStages):
    """When a number of the log is good enough."""

    metric: str = Field(
        "validation_ndcg@10", min_length=1, description="The number, by its name in log.jsonl."
    )
    value: float = Field(description="What it is to reach.")
    reached: Literal["at_least", "at_most"] = Field(
        "at_least", description="Whether more is better, as of NDCG, or less, as of a loss."
    )


class TimeLimitConfig(_OfStages):
    """How long a stage may take."""

    minutes: float = Field(
        60.0,
        gt=0,
        description="Minutes of a stage, looked at with each line of the log; they count from where this run "
        "began the stage, or went on with it.",
    )
