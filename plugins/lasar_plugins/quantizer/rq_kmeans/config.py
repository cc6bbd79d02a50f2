"""Options of residual k-means."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lasar_kit.core.residual_options import LevelsConfig


class RqKmeansConfig(LevelsConfig):
    """Options of `rq_kmeans`."""

    balanced: bool = Field(
        False,
        description="Let no code of a level have more than its share of items; needs the extra 'balanced'.",
    )
    max_iterations: int = Field(
        300, ge=1, description="Rounds through all items that the clustering of a level makes, at most."
    )
    batch_items: int = Field(
        0,
        ge=0,
        description="In a catalogue of more items, cluster by mini-batches of so many: of 10,000 items, "
        "batches of 1,024 took 0.4 of the time and left 10 % more error; 0 never.",
    )

    @model_validator(mode="after")
    def _balanced_at_once(self) -> Self:
        if self.balanced and self.batch_items:
            raise ValueError("balanced is kept among all items at once; leave batch_items out")
        return self
