"""A data source's findings as it read, which the data set no longer tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Counts:
    """Numbers of users, items and interactions."""

    users: int
    items: int
    interactions: int

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.users - other.users, self.items - other.items, self.interactions - other.interactions
        )


@dataclass(frozen=True)
class Reading:
    """All of it may be left out: a data set is then described by what it holds.

    `found` counts what was read and `left_out` what each filter took away, in their order. `times[n]` is when
    `sequences.items[n]` was taken, in any unit; None where only the order is known. `ties_drawn` says
    that interactions at the same time stand in an order drawn by the seed. `item_file` names the file of item
    text, `unused` its columns that were not read, `without_row` counts the items that it lacks, and
    `rows_of_no_item` its rows of items that nobody took. `remarks` are lines of the source's own on what
    is hardly meant.
    """

    found: Counts | None = None
    left_out: Mapping[str, Counts] = field(default_factory=dict)
    times: Float[np.ndarray, " N"] | None = None
    ties_drawn: bool = False
    item_file: str = ""
    unused: tuple[str, ...] = ()
    without_row: int = 0
    rows_of_no_item: int = 0
    remarks: tuple[str, ...] = ()

    def of_interactions(self, kept: Bool[np.ndarray, " N"]) -> Reading:
        """Return the findings about some of the interactions of `sequences`."""
        return self if self.times is None else replace(self, times=self.times[kept])
