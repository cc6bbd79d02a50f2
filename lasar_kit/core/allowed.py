"""Which items a list may hold: these alone, or all but these.

Sets are kept as the items that they name and not as a mask over the catalogue, so that leaving fifty items
out of ten million costs fifty numbers a row; and a large set that many rows choose from is kept once. Shape
letters as in `lasar_kit.core.values`, E items that a row's set names at most, S those of a set that rows
share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Limit:
    """What one list may hold: `items` alone where `only`, else all but them; where there is `among`, all of
    that but them.

    Rows of the item table, in any order, some of them perhaps several times; those of `among` ascending, each
    once. Of limits with one and the same array as `among`, what a search needs of it is computed once.
    """

    items: Int[np.ndarray, " E"]
    only: bool = False
    among: Int[np.ndarray, " S"] | None = None

    @classmethod
    def within(cls, among: Int[np.ndarray, " S"], barred: Int[np.ndarray, " E"]) -> Limit:
        """What is left of a set without some items, not all of which need be in it."""
        if not len(among):
            return cls(among, only=True)
        place = np.searchsorted(among, barred).clip(max=len(among) - 1)
        return cls(barred[among[place] == barred], among=among)

    def __post_init__(self) -> None:
        assert self.among is None or not self.only, "one or the other"

    def holds(self, items: Int[np.ndarray, "*S"]) -> Bool[np.ndarray, "*S"]:
        """Which of these may be in the list."""
        holds: Bool[np.ndarray, "*S"] = np.isin(items, self.items) == self.only
        return holds if self.among is None else holds & np.isin(items, self.among)

    def count(self, catalogue: int) -> int:
        """How many items the list may hold, of a catalogue of so many."""
        named = len(np.unique(self.items))
        return named if self.only else (catalogue if self.among is None else len(self.among)) - named


@dataclass(frozen=True)
class Shared:
    """A set of items, and the rows whose lists may hold nothing else."""

    items: Int[Tensor, " S"]
    rows: Int[Tensor, " b"]


@dataclass(frozen=True)
class Allowed:
    """What the lists of B rows may hold: `items[b]`, with -1 for none, alone where `only[b]`, else all but
    these; of rows of a set that is `shared`, all of that but these."""

    items: Int[Tensor, "B E"]
    only: Bool[Tensor, " B"]
    shared: tuple[Shared, ...] = ()

    @classmethod
    def of(cls, limits: Sequence[Limit], device: torch.device | str = "cpu") -> Allowed:
        """Those of a batch."""
        lengths = np.array([len(limit.items) for limit in limits])
        items = np.full((len(limits), lengths.max(initial=0)), -1, dtype=np.int64)
        items[np.arange(items.shape[1]) < lengths[:, None]] = np.concatenate(
            [limit.items for limit in limits] or [np.zeros(0, dtype=np.int64)]
        )
        only = torch.tensor([limit.only for limit in limits], dtype=torch.bool)
        rows: dict[int, list[int]] = {}
        for row, limit in enumerate(limits):
            if limit.among is not None:
                rows.setdefault(id(limit.among), []).append(row)
        sets = {id(limit.among): limit.among for limit in limits}
        shared = (
            Shared(torch.from_numpy(sets[key]).to(device), torch.tensor(own, device=device))
            for key, own in rows.items()
        )
        return cls(torch.from_numpy(items).to(device), only.to(device), tuple(shared))

    def mask(self, catalogue: int) -> Bool[Tensor, "B I"]:
        """Which of all items each row's list may hold, for those who need it so: a byte an item and row."""
        named = torch.zeros(len(self.items), catalogue + 1, dtype=torch.bool, device=self.items.device)
        named.scatter_(1, torch.where(self.items < 0, catalogue, self.items), True)
        mask = named[:, :catalogue] == self.only[:, None]
        for one in self.shared:
            own = torch.zeros(catalogue, dtype=torch.bool, device=mask.device)
            own[one.items.long()] = True
            mask[one.rows] &= own
        return mask
