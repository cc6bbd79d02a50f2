"""Options of the ranker `ease`."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import RankerConfig


class EaseConfig(RankerConfig):
    """Options of `ease`."""

    l2: float = Field(250.0, gt=0, description="Weight of the squared norm (paper: lambda).")
    decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Weight of a history's item is this to the power of its age, from 0; 1 as in the paper.",
    )
    recent: int = Field(0, ge=0, description="Latest items of a history that count; 0 for all.")
    max_items: int = Field(
        20_000,
        ge=1,
        description="Largest catalogue that is taken on: I items are dense matrix of 8 I^2 bytes (20,000: "
        "3.2 GB), and I^3 operations.",
    )
