"""Terms of the supervised loss, as specs list them and as the stage sft puts them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lasar_kit.spec import SftObjectiveConfig, SpecModel, component

LOGGED_AS = {"answer": "ce", "depth_label": "policy"}
"""Names in the log of the terms of some objectives; others by their component's name."""

INSTEAD_OF = {
    "answer": (),
    "align": ("aligner", "align_weight"),
    "depth_label": ("policy_weight",),
}
"""The options that an objective takes the place of where `objectives` lists it."""


class WeightedSftObjective(SpecModel):
    """An SFT objective and its weight."""

    objective: Annotated[SftObjectiveConfig, component("sft_objective")] = Field(
        description="An SFT objective."
    )
    weight: float = Field(1.0, ge=0, description="Factor of its term.")


@dataclass(frozen=True)
class SftTerm:
    """A term of the loss, by its name in the log; `place` is the option that asks for it, and what no option
    asks for is left out where it lacks what it needs."""

    name: str
    weight: float
    objective: SftObjectiveConfig
    place: str = ""
