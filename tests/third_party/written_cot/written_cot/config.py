"""Options of written reasoning."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig, RlObjectiveConfig, SftObjectiveConfig

OPEN, CLOSE = "<think>", "</think>"


class WrittenCotConfig(LatentLoopConfig):
    """Words before the answer. Depth 0 answers without them; any other depth writes."""

    tokens: ClassVar[tuple[str, ...]] = (OPEN, CLOSE)
    writes: ClassVar[bool] = True

    limit: int = Field(
        64, ge=1, description="Tokens of a text; one that is not ended by then is ended for it."
    )
    draws: bool = Field(
        True, description="Draw words in rollouts; evaluation takes the likeliest one each time."
    )


class RationaleConfig(SftObjectiveConfig):
    """The texts that a teacher wrote about training prompts."""

    @property
    def wants(self) -> tuple[str, ...]:
        """Written reasoning."""
        return ("rationale",)

    @property
    def trains_text(self) -> bool:
        """The backbone learns words."""
        return True


class WrittenConfig(RlObjectiveConfig):
    """REINFORCE on what was written, with the clipped ratio of PPO."""

    clip: float = Field(
        0.2, gt=0, description="How far a token's ratio may leave 1 before it counts no more."
    )
