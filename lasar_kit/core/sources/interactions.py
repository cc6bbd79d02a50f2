"""Interactions: gathering, filtering, and ordering them into one sequence a user."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.reading import Counts
from lasar_kit.core.sources.options import InteractionOptions
from lasar_kit.errors import UserError

MIN_SEQUENCE = 3
"""Leave-one-out needs an item to train on, one to validate and one to test."""


@dataclass(frozen=True)
class Interactions:
    """N interactions: `user_ids[user[n]]` took `item_ids[item[n]]` at `time[n]`.

    Where not `timed`, times are places in the file. `passed_over` more were read and not taken.
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    user: Int[np.ndarray, " N"]
    item: Int[np.ndarray, " N"]
    time: Float[np.ndarray, " N"]
    timed: bool = True
    passed_over: int = 0

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: Bool[np.ndarray, " N"] | Int[np.ndarray, " n"]) -> Interactions:
        """The interactions that a mask or an index selects."""
        return replace(self, user=self.user[keep], item=self.item[keep], time=self.time[keep])

    def counts(self) -> Counts:
        """How many there are, and how many users and items are among them."""
        users, items = np.bincount(self.user), np.bincount(self.item)
        return Counts(int((users > 0).sum()), int((items > 0).sum()), len(self))


class InteractionLog:
    """Takes interactions as they are read; ids become numbers at first sight, so that each takes 16 bytes."""

    def __init__(self, timed: bool = True) -> None:
        self._user_rows = defaultdict[str, int](count().__next__)
        self._item_rows = defaultdict[str, int](count().__next__)
        self._user_row, self._item_row = self._user_rows.__getitem__, self._item_rows.__getitem__
        self._user, self._item, self._time = array("i"), array("i"), array("d")
        self._timed, self._passed_over = timed, 0

    def extend(self, rows: Iterable[tuple[str, str, float]]) -> None:
        """Take note of the user, item and time of interactions; times in any unit, one unit for all."""
        user_row, item_row = self._user_row, self._item_row
        add_user, add_item, add_time = self._user.append, self._item.append, self._time.append
        for user, item, time in rows:
            add_user(user_row(user))
            add_item(item_row(item))
            add_time(time)

    def add(self, user: str, item: str, time: float) -> None:
        """Take note of one interaction."""
        self.extend([(user, item, time)])

    def pass_over(self, user: str, item: str) -> None:
        """Count one interaction that is not taken."""
        self._user_row(user)
        self._item_row(item)
        self._passed_over += 1

    def interactions(self) -> Interactions:
        """All so far, in the order in which they came; the log may not grow while the result lives."""
        return Interactions(
            list(self._user_rows),
            list(self._item_rows),
            np.frombuffer(self._user, dtype=np.int32),
            np.frombuffer(self._item, dtype=np.int32),
            np.frombuffer(self._time, dtype=np.float64),
            self._timed,
            self._passed_over,
        )


def chronological(log: Interactions, ties: Literal["file", "random"] = "file", seed: int = 0) -> Interactions:
    """User by user, oldest first; interactions at the same time keep their order, or get one by the seed.

    The drawn order depends on ids alone: the same rows give the same, however their file is sorted.
    """
    if ties == "file":
        return log.where(np.lexsort((log.time, log.user)))
    user, item = (_ranks(ids)[row] for ids, row in ((log.user_ids, log.user), (log.item_ids, log.item)))
    with np.errstate(over="ignore"):
        pair = user.astype(np.uint64) * np.uint64(len(log.item_ids)) + item.astype(np.uint64)
        drawn = _mixed(pair + _mixed(np.array([seed], dtype=np.uint64)))
    return log.where(np.lexsort((drawn, log.time, log.user)))


def _ranks(ids: Sequence[str]) -> Int[np.ndarray, " n"]:
    """The place of each id among all, sorted as text."""
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return ranks


def _mixed(value: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The SplitMix64 finaliser (Steele et al., 2014): neighbouring numbers give unrelated ones."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Int[np.ndarray, " n"] = value ^ (value >> np.uint64(31))
    return mixed


def without_copies(log: Interactions) -> Interactions:
    """The first of exact copies: of the same user, item and time, or, untimed, of the same item in a row."""
    if not log.timed:
        log = chronological(log)
        return log.where(~follows_itself(log.user, log.item))
    order = np.lexsort((log.item, log.time, log.user))
    copies = follows_itself(log.user[order], log.item[order], log.time[order])
    return log.where(np.sort(order[~copies]))


def follows_itself(*columns: Int[np.ndarray, " N"] | Float[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Which rows equal the row before them in all columns."""
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    return np.concatenate([[False], same])[: len(columns[0])]


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
    """Each user's items, oldest first; users and items sorted by raw id, as text.

    `times[n]` is that of `sequences.items[n]`, None where the log has none; `found` and `left_out` count what
    was read and what each filter took away.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    sequences: Sequences
    times: Float[np.ndarray, " N"] | None = None
    found: Counts | None = None
    left_out: dict[str, Counts] = field(default_factory=dict)
    ties_drawn: bool = False


def histories(log: Interactions, options: InteractionOptions, origin: str, seed: int = 0) -> Histories:
    """Filter as `options` say, drop users of fewer than three items, and order by user and time.

    The k-core asks of a user at least three interactions too, so that leaving short users out cannot
    take an item below k. `origin` names the input in the error that is raised when nothing is left.
    """
    counts = Counts(len(log.user_ids), len(log.item_ids), len(log) + log.passed_over)
    log, left_out = _filtered(log, options, seed, counts, origin)
    users, user = _sorted_rows(log.user_ids, log.user)
    log = replace(log, user_ids=users, user=user)
    if options.max_users is not None:
        before = log.counts()
        log = log.where(log.user < options.max_users)
        users = users[: options.max_users]
        left_out["max_users"] = before - log.counts()
    items, item = _sorted_rows(log.item_ids, log.item)
    by_user = np.argsort(log.user, kind="stable")
    offsets = np.concatenate([[0], np.bincount(log.user, minlength=len(users)).cumsum()])
    return Histories(
        tuple(users),
        tuple(items),
        Sequences(offsets, item[by_user]),
        log.time[by_user] if log.timed else None,
        counts,
        {name: gone for name, gone in left_out.items() if gone.interactions},
        options.ties == "random",
    )


def _filtered(
    log: Interactions, options: InteractionOptions, seed: int, counts: Counts, origin: str
) -> tuple[Interactions, dict[str, Counts]]:
    """Filter, and count what each filter but the last took; oldest first, `UserError` if none is left."""
    read = len(log)
    left = [("", counts), ("passed_over", log.counts())]
    if options.copies == "drop":
        log = without_copies(log)
        left.append(("copies", log.counts()))
    log = chronological(log, options.ties, seed)
    if options.repeats != "all":
        log = without_repeats(log, options.repeats)
        left.append(("repeats", log.counts()))
    log = core(log, max(options.k_core, MIN_SEQUENCE), max(options.k_core, 1))
    left.append(("k_core" if options.k_core else "short_users", log.counts()))
    if not len(log):
        filters = f"k_core {options.k_core} and repeats {options.repeats!r}"
        raise UserError(
            f"{origin}: no user has {MIN_SEQUENCE} items left of {read} interactions under {filters}"
        )
    return log, {name: before - after for (_, before), (name, after) in pairwise(left)}
