"""At which place of the whole catalogue scores put an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Places:
    """Each user's target in a list: its place from 1, 0 for none; how many items share it; the length."""

    rank: Int[np.ndarray, " U"]
    ties: Int[np.ndarray, " U"]
    listed: Int[np.ndarray, " U"]


def places(
    scores: Float[np.ndarray, "U I"],
    target: Int[np.ndarray, " U"],
    histories: Sequence[Int[np.ndarray, " H"]],
    draws_ties: bool,
) -> tuple[Places, Places]:
    """Where the lists of all items put the targets, and where lists without the histories do.

    Items of score -inf are in no list. Equal scores stand in the order of the item table, or share the first
    of their places if `draws_ties`. Nothing is sorted: a place is one more than the items before it, and what
    a history takes out of a list is counted by itself.
    """
    own = scores[np.arange(len(target)), target]
    earlier = np.arange(scores.shape[1]) < target[:, None]
    whole = _counts(scores, own[:, None], earlier, lambda items: np.count_nonzero(items, axis=1))
    user, item = _distinct(histories, scores.shape[1])
    taken = _counts(
        scores[user, item],
        own[user],
        item < target[user],
        lambda items: np.bincount(user[items], minlength=len(target)),
    )
    there = np.bincount(user[item == target[user]], minlength=len(target)) == 0
    listed = own > -np.inf
    return _places(whole, listed, draws_ties), _places(whole - taken, listed & there, draws_ties)


def _counts(
    score: Float[np.ndarray, "*S"],
    own: Float[np.ndarray, "*S"],
    earlier: Bool[np.ndarray, "*S"],
    count: Callable[[Bool[np.ndarray, "*S"]], Int[np.ndarray, " U"]],
) -> Int[np.ndarray, "4 U"]:
    """How many items of each user score above the target, as it does, as it does and before it, at all."""
    equal = score == own
    return np.stack([count(score > own), count(equal), count(equal & earlier), count(score > -np.inf)])


def _places(counts: Int[np.ndarray, "4 U"], listed: Bool[np.ndarray, " U"], draws_ties: bool) -> Places:
    above, equal, earlier, length = counts
    before, ties = (above, equal) if draws_ties else (above + earlier, np.ones_like(equal))
    return Places(np.where(listed, before + 1, 0), np.where(listed, ties, 1), length)


def _distinct(
    histories: Sequence[Int[np.ndarray, " H"]], items: int
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """User and item of all that stands in histories, each pair once."""
    user = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    item = np.concatenate([np.zeros(0, dtype=np.int64), *histories]).astype(np.int64)
    pairs = np.unique(user * items + item)
    return pairs // items, pairs % items
