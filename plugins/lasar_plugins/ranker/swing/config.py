"""Options of the ranker `swing`."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import RankerConfig


class SwingConfig(RankerConfig):
    """Options of `swing`."""

    smoothing: float = Field(
        1.0,
        ge=0,
        description="Added to how many items two users share, which their pair's weight falls with.",
    )
    user_smoothing: float = Field(
        5.0, ge=0, description="Added to how many items a user has, which the user's weight falls with."
    )
    user_power: float = Field(
        0.3, ge=0, description="Power of that by which a user's weight falls; 0 weighs all users alike."
    )
    decay: float = Field(
        0.7, gt=0, le=1, description="Weight of a history's item is this to the power of its age, from 0."
    )
    recent: int = Field(10, ge=0, description="Latest items of a history that count; 0 for all.")
