"""Filters on the fields of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool

NUMBER = r"(-?\d+(?:\.\d+)?)"
"""A number in a field such as `$1,299.00`, its commas left out."""


@dataclass(frozen=True)
class FieldIs:
    """What must hold of a field: one of the texts of `is_`, one of `has` in it, a number within bounds."""

    is_: Sequence[str] | None = None
    has: Sequence[str] | None = None
    min: float | None = None
    max: float | None = None

    def holds(self, field: str) -> pl.Expr:
        """As an expression over the item table; case does not matter, and what holds no number is within no
        bounds."""
        text = pl.col(field).str.to_lowercase()
        found = pl.col(field).is_not_null()
        if self.is_ is not None:
            found &= text.is_in([value.lower() for value in self.is_])
        if self.has is not None:
            found &= pl.any_horizontal(
                pl.lit(False), *(text.str.contains(value.lower(), literal=True) for value in self.has)
            )
        number = text.str.replace_all(",", "", literal=True).str.extract(NUMBER).cast(pl.Float64)
        if self.min is not None:
            found &= (number >= self.min).fill_null(False)
        if self.max is not None:
            found &= (number <= self.max).fill_null(False)
        return found


def matching(items: pl.DataFrame, conditions: Mapping[str, FieldIs]) -> Bool[np.ndarray, " I"]:
    """Which items have fields of which all conditions hold."""
    found: Bool[np.ndarray, " I"] = np.ones(items.height, dtype=bool)
    for field, condition in conditions.items():
        found &= items.select(found=condition.holds(field))["found"].to_numpy()
    return found
