"""Training samples of a data set, and the order in which an epoch visits them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences

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


def sliding(train: Sequences, max_history: int) -> list[Window]:
    """Every prefix of two items or more, cut to its last `max_history` items and the answer."""
    return [
        Window(user, max(0, stop - 1 - max_history), stop)
        for user, length in enumerate(train.lengths.tolist())
        for stop in range(2, length + 1)
    ]


def longest_per_user(train: Sequences, max_history: int) -> list[Window]:
    """The longest prefix of each user alone."""
    return [
        Window(user, max(0, length - 1 - max_history), length)
        for user, length in enumerate(train.lengths.tolist())
        if length >= 2
    ]


def packed(train: Sequences, items: int) -> list[Window]:
    """Each user in windows of at most `items` items, one overlapping, so that every item but a user's first
    is the answer of exactly one position.

    A longer user is cut, and the answers behind a cut see the items since the cut alone: see `shortened`.
    """
    return [
        Window(user, start, min(start + items, length))
        for user, length in enumerate(train.lengths.tolist())
        for start in range(0, length - 1, items - 1)
    ]


RULES = {"sliding": sliding, "longest_per_user": longest_per_user}
"""The rules by which a training part becomes prompts of one answer each."""


def prompts(train: Sequences, rule: str, max_history: int, limit: int = 0, seed: int = 0) -> list[Window]:
    """The prompts of a rule, in order; `limit` of them, drawn by the seed, 0 for all."""
    windows = RULES[rule](train, max_history)
    if 0 < limit < len(windows):
        chosen = np.random.default_rng(seed).choice(len(windows), limit, replace=False)
        windows = [windows[index] for index in np.sort(chosen)]
    return windows


def shortened(windows: Sequence[Window], max_history: int) -> float:
    """The share of packed windows' answers that see fewer items than `sliding` would show them."""
    answers = sum(len(window) - 1 for window in windows)
    short = sum(
        seen < min(window.start + seen, max_history) for window in windows for seen in range(1, len(window))
    )
    return short / answers


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
    lengths = np.array([len(window) for window in windows])
    pools = [order[a : a + POOL * batch_size] for a in range(0, len(order), POOL * batch_size)]
    ordered = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batches = [pool[a : a + batch_size] for pool in ordered for a in range(0, len(pool), batch_size)]
    for index in rng.permutation(len(batches)):
        yield batches[index]
