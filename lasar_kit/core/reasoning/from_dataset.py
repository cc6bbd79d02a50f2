"""Requests for a data set's histories."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.made import Made
from lasar_kit.core.reasoning.request import ReasoningItem, ReasoningRequest


class Requests(Made[ReasoningRequest]):
    """A request for each place `(u, start, end)`: the items `start .. end - 1` of user row u, made when it is
    asked for."""

    def __init__(self, dataset: Dataset, places: Int[np.ndarray, "n 3"], with_target: bool = False) -> None:
        self.dataset, self.with_target = dataset, with_target
        self.items = dataset.items.select("title", "brand", "categories", "price")
        self.places = places
        user, start, end = places.T
        length = dataset.sequences.lengths[user]
        wrong = np.flatnonzero(~((start >= 0) & (start < end) & (end < length)))
        assert not len(wrong), f"no item {end[wrong[0]]} after a history in a sequence of {length[wrong[0]]}"

    def __len__(self) -> int:
        return len(self.places)

    def made(self, index: int) -> ReasoningRequest:
        """Make the request at a place."""
        user, start, end = self.places[index].tolist()
        row = self.dataset.sequences[user]
        history = tuple(map(self._item, row[start:end].tolist()))
        target = self._item(int(row[end])) if self.with_target else None
        return ReasoningRequest(self.dataset.users[user], end, history, target)

    def _item(self, row: int) -> ReasoningItem:
        return ReasoningItem(*(value or "" for value in self.items.row(row)))


def requests_of(
    dataset: Dataset, places: Iterable[tuple[int, int, int]], with_target: bool = False
) -> Requests:
    """A request for each place; the item at `end` is the one that comes next, told only `with_target`."""
    return Requests(dataset, np.array(list(places), dtype=np.int64).reshape(-1, 3), with_target)
