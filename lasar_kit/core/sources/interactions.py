"""Interactions: gathering, filtering, and ordering them into one sequence a user."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.sources.options import InteractionOptions
from lasar_kit.errors import UserError

MIN_SEQUENCE = 3
"""Leave-one-out needs an item to train on, one to validate and one to test."""


@dataclass(frozen=True)
class Interactions:
    """N interactions: `user_ids[user[n]]` took `item_ids[item[n]]` at `time[n]`."""

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    user: Int[np.ndarray, " N"]
    item: Int[np.ndarray, " N"]
    time: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: Bool[np.ndarray, " N"] | Int[np.ndarray, " n"]) -> Interactions:
        """The interactions that a mask or an index selects."""
        return replace(self, user=self.user[keep], item=self.item[keep], time=self.time[keep])


class InteractionLog:
    """Takes interactions one at a time; ids become numbers at first sight, so that each takes 16 bytes."""

    def __init__(self) -> None:
        self._user_rows: dict[str, int] = {}
        self._item_rows: dict[str, int] = {}
        self._user, self._item, self._time = array("i"), array("i"), array("d")

    def add(self, user: str, item: str, time: float) -> None:
        """Take note of one interaction; `time` in any unit, one unit for all."""
        self._user.append(self._user_rows.setdefault(user, len(self._user_rows)))
        self._item.append(self._item_rows.setdefault(item, len(self._item_rows)))
        self._time.append(time)

    def interactions(self) -> Interactions:
        """All so far, in the order in which they came; the log may not grow while the result lives."""
        return Interactions(
            list(self._user_rows),
            list(self._item_rows),
            np.frombuffer(self._user, dtype=np.int32),
            np.frombuffer(self._item, dtype=np.int32),
            np.frombuffer(self._time, dtype=np.float64),
        )


def chronological(log: Interactions) -> Interactions:
    """User by user, oldest first; interactions at the same time keep their order."""
    return log.where(np.lexsort((log.time, log.user)))


def without_repeats(log: Interactions, keep: Literal["first", "last"]) -> Interactions:
    """One interaction a user and item, the first or the last of those in `log`, order kept."""
    pair = log.user.astype(np.int64) * len(log.item_ids) + log.item
    if keep == "last":
        _, index = np.unique(pair[::-1], return_index=True)
        index = len(pair) - 1 - index
    else:
        _, index = np.unique(pair, return_index=True)
    return log.where(np.sort(index))


def core(log: Interactions, user_min: int, item_min: int) -> Interactions:
    """The largest part in which every user has `user_min` interactions and every item `item_min`.

    The part is unique: whatever is removed first, the same interactions remain (Seidman 1983, k-cores,
    on the bipartite graph of users and items).
    """
    while True:
        users = np.bincount(log.user, minlength=len(log.user_ids))
        items = np.bincount(log.item, minlength=len(log.item_ids))
        keep = (users[log.user] >= user_min) & (items[log.item] >= item_min)
        if keep.all():
            return log
        log = log.where(keep)


def _sorted_rows(ids: Sequence[str], row: Int[np.ndarray, " N"]) -> tuple[list[str], Int[np.ndarray, " N"]]:
    """The ids that occur in `row`, sorted as text, and `row` renumbered to their order."""
    present = sorted(np.unique(row).tolist(), key=lambda r: ids[r])
    renumbered = np.zeros(len(ids), dtype=np.int32)
    renumbered[present] = np.arange(len(present), dtype=np.int32)
    return [ids[r] for r in present], renumbered[row]


@dataclass(frozen=True)
class Histories:
    """Each user's items, oldest first; users and items sorted by raw id, as text."""

    users: tuple[str, ...]
    items: tuple[str, ...]
    sequences: Sequences


def histories(log: Interactions, options: InteractionOptions, origin: str) -> Histories:
    """Filter as `options` say, drop users of fewer than three items, and order by user and time.

    The k-core asks of a user at least three interactions too, so that leaving short users out cannot
    take an item below k. `origin` names the input in the error that is raised when nothing is left.
    """
    found = len(log)
    log = chronological(log)
    if options.repeats != "all":
        log = without_repeats(log, options.repeats)
    log = core(log, max(options.k_core, MIN_SEQUENCE), max(options.k_core, 1))
    if not len(log):
        filters = f"k_core {options.k_core} and repeats {options.repeats!r}"
        raise UserError(
            f"{origin}: no user has {MIN_SEQUENCE} items left of {found} interactions under {filters}"
        )
    users, user = _sorted_rows(log.user_ids, log.user)
    log = replace(log, user_ids=users, user=user)
    if options.max_users is not None:
        log = log.where(log.user < options.max_users)
        users = users[: options.max_users]
    items, item = _sorted_rows(log.item_ids, log.item)
    by_user = np.argsort(log.user, kind="stable")
    lengths = np.bincount(log.user, minlength=len(users))
    offsets = np.concatenate([[0], lengths.cumsum()])
    return Histories(tuple(users), tuple(items), Sequences(offsets, item[by_user]))
