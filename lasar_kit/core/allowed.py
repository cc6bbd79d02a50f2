"""Which items a list may hold: these alone, or all but these.

Sets are kept as the items that they name and not as a mask over the catalogue, so that leaving fifty items
out of ten million costs fifty numbers a row. Shape letters as in `lasar_kit.core.values`, and E items that a
row's set names at most.
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
    """What one list may hold: `items` alone where `only`, else all but them.

    Rows of the item table, in any order, some of them perhaps several times.
    """

    items: Int[np.ndarray, " E"]
    only: bool = False

    def holds(self, items: Int[np.ndarray, "*S"]) -> Bool[np.ndarray, "*S"]:
        """Which of these may be in the list."""
        holds: Bool[np.ndarray, "*S"] = np.isin(items, self.items) == self.only
        return holds

    def count(self, catalogue: int) -> int:
        """How many items the list may hold, of a catalogue of so many."""
        named = len(np.unique(self.items))
        return named if self.only else catalogue - named


@dataclass(frozen=True)
class Allowed:
    """What the lists of B rows may hold: `items[b]`, with -1 for none, alone where `only[b]`, else all but
    these."""

    items: Int[Tensor, "B E"]
    only: Bool[Tensor, " B"]

    @classmethod
    def of(cls, limits: Sequence[Limit], device: torch.device | str = "cpu") -> Allowed:
        """Those of a batch."""
        lengths = np.array([len(limit.items) for limit in limits])
        items = np.full((len(limits), lengths.max(initial=0)), -1, dtype=np.int64)
        items[np.arange(items.shape[1]) < lengths[:, None]] = np.concatenate(
            [limit.items for limit in limits] or [np.zeros(0, dtype=np.int64)]
        )
        only = torch.tensor([limit.only for limit in limits], dtype=torch.bool)
        return cls(torch.from_numpy(items).to(device), only.to(device))

    def mask(self, catalogue: int) -> Bool[Tensor, "B I"]:
        """Which of all items each row's list may hold, for those who need it so: a byte an item and row."""
        named = torch.zeros(len(self.items), catalogue + 1, dtype=torch.bool, device=self.items.device)
        named.scatter_(1, torch.where(self.items < 0, catalogue, self.items), True)
        return named[:, :catalogue] == self.only[:, None]
