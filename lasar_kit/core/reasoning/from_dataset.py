"""Requests for a data set's histories."""

from __future__ import annotations

from collections.abc import Iterable

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.reasoning.request import ReasoningItem, ReasoningRequest


def requests_of(
    dataset: Dataset, places: Iterable[tuple[int, int, int]], with_target: bool = False
) -> list[ReasoningRequest]:
    """A request for each place `(u, start, end)`: the items `start .. end - 1` of user row u.

    The item at `end` is the one that comes next; it is told only `with_target`.
    """
    columns = dataset.items.select("title", "brand", "categories", "price").rows()
    items = [ReasoningItem(*(value or "" for value in row)) for row in columns]
    requests = []
    for user, start, end in places:
        row = dataset.sequences[user].tolist()
        assert 0 <= start < end < len(row), f"no item {end} after a history in a sequence of {len(row)}"
        history = tuple(items[item] for item in row[start:end])
        target = items[row[end]] if with_target else None
        requests.append(ReasoningRequest(dataset.users[user], end, history, target))
    return requests
