"""Training samples of a data set, and the order in which an epoch visits them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.made import Made

POOL = 50
"""Batches' worth of samples that are sorted by length together, so that a batch pads little."""


@dataclass(frozen=True)
class Window:
    """Items `start .. stop - 1` of a user, less those `dropped`; the last is the answer, or, packed, each but
    the first."""

    user: int
    start: int
    stop: int
    dropped: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return self.stop - self.start - len(self.dropped)

    @property
    def places(self) -> list[int]:
        """Where in the user's sequence its items stand."""
        return [place for place in range(self.start, self.stop) if place not in self.dropped]

    def of(self, train: Sequences) -> Int[np.ndarray, " n"]:
        """Its items."""
        first = int(train.offsets[self.user])
        whole = slice(first + self.start, first + self.stop)
        items: Int[np.ndarray, " n"] = train.items[first + np.array(self.places) if self.dropped else whole]
        return items


class Windows(Made[Window]):
    """Windows with no item dropped, as three columns: a window itself is made when it is asked for."""

    def __init__(
        self, user: Int[np.ndarray, " n"], start: Int[np.ndarray, " n"], stop: Int[np.ndarray, " n"]
    ) -> None:
        self.user, self.start, self.stop = (
            column.astype(np.int32, copy=False) for column in (user, start, stop)
        )

    def __len__(self) -> int:
        return len(self.user)

    def made(self, index: int) -> Window:
        """Return the window at a place."""
        return Window(int(self.user[index]), int(self.start[index]), int(self.stop[index]))

    def at(self, places: Int[np.ndarray, " k"]) -> Windows:
        """Return the windows at some places."""
        return Windows(self.user[places], self.start[places], self.stop[places])


def lengths_of(windows: Sequence[Window]) -> Int[np.ndarray, " n"]:
    """Items of each window."""
    if isinstance(windows, Windows):
        return windows.stop - windows.start
    return np.array([len(window) for window in windows], dtype=np.int64)


def sliding(train: Sequences, max_history: int) -> Windows:
    """Every prefix of two items or more, cut to its last `max_history` items and the answer."""
    user, number = _numbered(np.maximum(train.lengths - 1, 0))
    stop = number + 2
    return Windows(user, np.maximum(stop - 1 - max_history, 0), stop)


def longest_per_user(train: Sequences, max_history: int) -> Windows:
    """The longest prefix of each user alone."""
    user = np.flatnonzero(train.lengths >= 2)
    stop = train.lengths[user]
    return Windows(user, np.maximum(stop - 1 - max_history, 0), stop)


def packed(train: Sequences, items: int) -> Windows:
    """Each user in windows of at most `items` items, one overlapping, so that every item but a user's first
    is the answer of exactly one position.

    A longer user is cut, and the answers behind a cut see the items since the cut alone: see `shortened`.
    """
    user, number = _numbered(-(-np.maximum(train.lengths - 1, 0) // (items - 1)))
    start = number * (items - 1)
    return Windows(user, start, np.minimum(start + items, train.lengths[user]))


def _numbered(counts: Int[np.ndarray, " U"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The user of each of so many windows a user, and its number among these, from 0."""
    first = counts.cumsum() - counts
    return np.repeat(np.arange(len(counts)), counts), np.arange(counts.sum()) - np.repeat(first, counts)


RULES = {"sliding": sliding, "longest_per_user": longest_per_user}
"""The rules by which a training part becomes prompts of one answer each."""


def prompts(train: Sequences, rule: str, max_history: int, limit: int = 0, seed: int = 0) -> Windows:
    """The prompts of a rule, in order; `limit` of them, drawn by the seed, 0 for all."""
    windows = RULES[rule](train, max_history)
    if 0 < limit < len(windows):
        windows = windows.at(np.sort(np.random.default_rng(seed).choice(len(windows), limit, replace=False)))
    return windows


def shortened(windows: Windows, max_history: int) -> float:
    """The share of packed windows' answers that see fewer items than `sliding` would show them: behind a cut
    the first `max_history - 1` of each."""
    answers = lengths_of(windows) - 1
    short = np.where(windows.start > 0, np.minimum(answers, max_history - 1), 0)
    return float(short.sum() / max(answers.sum(), 1))


def thinned(windows: Sequence[Window], largest: float, numbers: Float[np.ndarray, "n L"]) -> list[Window]:
    """Windows of which items are left out, by `numbers` in [0, 1), one more a window than it has items.

    A window's rate is its first number times `largest`; an item whose own number is below the rate goes. The
    last item stays, and so does the one before it if no other does.
    """
    thin = []
    for window, (share, *own) in zip(windows, numbers.tolist(), strict=True):
        inner = range(window.start, window.stop - 1)
        dropped = frozenset(
            place for place, number in zip(inner, own, strict=False) if number < share * largest
        )
        if len(dropped) == len(inner):
            dropped -= {window.stop - 2}
        thin.append(replace(window, dropped=dropped))
    return thin


def epoch_batches(
    windows: Sequence[Window], batch_size: int, seed: int, epoch: int, by_length: bool = True
) -> Iterator[Int[np.ndarray, " b"]]:
    """Indices of each batch of an epoch: shuffled, and, `by_length`, windows of similar length together; some
    may be short."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(windows))
    if not by_length:
        yield from (order[a : a + batch_size] for a in range(0, len(order), batch_size))
        return
    lengths = lengths_of(windows)
    pools = [order[a : a + POOL * batch_size] for a in range(0, len(order), POOL * batch_size)]
    ordered = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batches = [pool[a : a + batch_size] for pool in ordered for a in range(0, len(pool), batch_size)]
    for index in rng.permutation(len(batches)):
        yield batches[index]
