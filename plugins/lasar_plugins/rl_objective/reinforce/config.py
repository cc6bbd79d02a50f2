"""Options of REINFORCE."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import RlObjectiveConfig


class ReinforceConfig(RlObjectiveConfig):
    """REINFORCE on the depth policy (paper Eq. 6)."""

    draws_depth: ClassVar[bool] = True

    step_penalty: float = Field(5e-4, ge=0, description="Reward that each thought costs (lambda).")
    entropy: float = Field(1e-3, ge=0, description="Weight of the policy's entropy (eta).")
    momentum: float = Field(
        0.95, ge=0, lt=1, description="Share of its past that the baseline keeps at each rollout."
    )
    clip: float = Field(
        0.2,
        gt=0,
        description="With several updates a rollout: how far the ratio of a depth's probability to what it "
        "was when drawn may leave 1 before the depth no longer counts.",
    )

    @property
    def acts_later(self) -> tuple[str, ...]:
        """Its clip."""
        return ("clip",)
