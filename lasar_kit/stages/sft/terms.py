"""Terms of the supervised loss, as specs list them and as the stage sft puts them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lasar_kit.spec import DepthPolicyConfig, LatentLoopConfig, SftObjectiveConfig, SpecModel, component

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


def no_thought(loop: LatentLoopConfig, policy: DepthPolicyConfig, terms: Iterable[SftTerm]) -> Iterator[str]:
    """Cautions of a loop, a policy and listed terms that do nothing without one another."""
    if loop.use != "none" and policy.support == (0,):
        yield (
            f"{loop.use} thinks as long as depth_policy says, and {policy.use} has depth 0 alone, so it "
            "never thinks; set 'depth_policy: mlp' or 'depth_policy: fixed'"
        )
    if loop.use == "none" and policy.support != (0,):
        yield (
            f"depth_policy {policy.use} says how long to think, and latent_loop none does not think; set "
            "'latent_loop: coconut', or leave depth_policy out"
        )
    listed = [term.objective for term in terms if term.place.startswith("objectives") and term.weight]
    about = [objective.use for objective in listed if objective.about_thoughts]
    if loop.use == "none" and about:
        yield (
            f"objectives lists {', '.join(about)}, about thoughts, and latent_loop none does not think; set "
            "'latent_loop: coconut', or leave it out"
        )
