"""Options of the ranker `item_knn`."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import RankerConfig


class ItemKnnConfig(RankerConfig):
    """Options of `item_knn`."""

    decay: float = Field(
        0.7, gt=0, le=1, description="Weight of a history's item is this to the power of its age, from 0."
    )
    recent: int = Field(10, ge=0, description="Latest items of a history that count; 0 for all.")
