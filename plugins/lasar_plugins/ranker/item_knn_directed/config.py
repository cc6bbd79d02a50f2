"""Options of the ranker `item_knn_directed`."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import RankerConfig


class DirectedItemKnnConfig(RankerConfig):
    """Options of `item_knn_directed`."""

    distance_decay: float = Field(
        0.85,
        gt=0,
        le=1,
        description="A pair d places apart in a training sequence counts this to the power of d - 1.",
    )
    window: int = Field(0, ge=0, description="Largest distance of a pair that counts; 0 for any.")
    backward: float = Field(
        0.3, ge=0, le=1, description="What a pair counts from the later item to the earlier; 0 for nothing."
    )
    damping: float = Field(
        1.0,
        ge=0,
        le=1,
        description="What an item's pairs count is divided by how often the item came, to this power.",
    )
    decay: float = Field(
        0.7, gt=0, le=1, description="Weight of a history's item is this to the power of its age, from 0."
    )
    recent: int = Field(10, ge=0, description="Latest items of a history that count; 0 for all.")
