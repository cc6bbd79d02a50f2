"""What a model must stand beside: popularity and item-KNN, on its training part, for its users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.user_cosine import user_cosine

DECAY, RECENT = 0.7, 10
"""Item-KNN weighs the last 10 items of a history by 0.7 ** age, the latest having age 0."""


class Popularity:
    """Ranks every user the same: by number of interactions in the training part."""

    def __init__(self, train: Sequences, items: int) -> None:
        self.count = np.bincount(train.items, minlength=items).astype(np.float64)

    def score(self, histories: Sequence[Int[np.ndarray, " L"]]) -> Float[np.ndarray, "U I"]:
        return np.tile(self.count, (len(histories), 1))


class ItemKnn:
    """Cosine between the users of two items, summed over the recent history with a decay by age."""

    def __init__(self, train: Sequences, items: int) -> None:
        self.cosine = user_cosine(train, items)
        self.cosine.setdiag(0.0)  # an item is no neighbour of its own

    def score(self, histories: Sequence[Int[np.ndarray, " L"]]) -> Float[np.ndarray, "U I"]:
        recent = [history[::-1][:RECENT] for history in histories]
        row = np.repeat(np.arange(len(recent)), [len(history) for history in recent])
        weight = np.concatenate([DECAY ** np.arange(len(history)) for history in recent])
        asked = sparse.csr_matrix(
            (weight, (row, np.concatenate(recent))), shape=(len(recent), self.cosine.shape[0])
        )
        return np.asarray((asked @ self.cosine).todense())


def rank(
    baseline: Popularity | ItemKnn,
    histories: Sequence[Int[np.ndarray, " L"]],
    width: int,
    exclude_history: bool,
    rows: int = 512,
) -> Int[np.ndarray, "U W"]:
    """The `width` best items of every user, -1 where there is nothing left to say (score 0 or excluded).

    Equal scores stand in the order of the item table, so that the result is the same everywhere.
    """
    ranked = np.full((len(histories), width), -1, dtype=np.int64)
    for start in range(0, len(histories), rows):
        part = histories[start : start + rows]
        for user, (history, score) in enumerate(zip(part, baseline.score(part), strict=True)):
            if exclude_history:
                score[history] = 0.0
            best = _best(score, width)
            ranked[start + user, : len(best)] = best
    return ranked


def _best(score: Float[np.ndarray, " I"], width: int) -> Int[np.ndarray, " W"]:
    """Items of positive score, best first, at most `width`; a partition first, so that few are sorted."""
    cut = np.partition(score, -width)[-width] if width < len(score) else 0.0
    candidates = np.flatnonzero((score >= cut) & (score > 0.0))
    return candidates[np.argsort(-score[candidates], kind="stable")][:width]
