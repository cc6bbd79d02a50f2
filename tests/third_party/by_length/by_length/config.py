"""Options of depths by history length."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from lasar_kit.spec import DepthPolicyConfig

Length = Annotated[int, Field(ge=1)]
Depth = Annotated[int, Field(ge=0)]


class ByLengthConfig(DepthPolicyConfig):
    """Histories fall into classes by their number of items; each class has its depth."""

    lengths: tuple[Length, ...] = Field(
        (3, 8), description="Numbers of items, ascending, at which a class ends and the next one begins."
    )
    depths: tuple[Depth, ...] = Field(
        (1, 2, 4), description="Thoughts of a history in each class, one more than there are lengths."
    )
    learned: bool = Field(
        False, description="Let training move the choice in each class; it starts at what `depths` says."
    )
    margin: float = Field(
        8.0, gt=0, description="Log-odds of a class's depth against each other one (at first, if learned)."
    )

    @model_validator(mode="after")
    def _each_class_has_a_depth(self) -> Self:
        if any(a >= b for a, b in pairwise(self.lengths)):
            raise ValueError("lengths must ascend")
        if len(self.depths) != len(self.lengths) + 1:
            raise ValueError(f"depths must hold {len(self.lengths) + 1}, one for each class of lengths")
        return self

    @property
    def support(self) -> tuple[int, ...]:
        """The depths to choose from."""
        return tuple(sorted(set(self.depths)))
