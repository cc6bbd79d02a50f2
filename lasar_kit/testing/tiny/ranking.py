"""A ranker in its plainest form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env


class TinyRanker:
    """How many users have an item together with those of the history, and a little for each purchase."""

    draws_ties = False

    def __init__(self, config: Any, env: Env) -> None:
        self.seed = env.seed
        self.count = np.zeros(0)
        self.together = np.zeros((0, 0))

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Count."""
        self.count = np.bincount(train.items, minlength=items.height).astype(np.float64)
        self.together = np.zeros((items.height, items.height))
        for user in range(len(train)):
            own = np.unique(train[user])
            self.together[np.ix_(own, own)] += 1

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """A row a history."""
        rows = [0.1 * self.count + self.together[history].sum(0) for history in histories]
        return np.array(rows).reshape(len(rows), len(self.count))

    def score_both(
        self, histories: Sequence[Int[np.ndarray, " H"]]
    ) -> tuple[Float[np.ndarray, "U I"], Float[np.ndarray, "U I"]]:
        """The same rows, and these without the histories."""
        scores = self.score(histories)
        without = scores.copy()
        for row, history in zip(without, histories, strict=True):
            row[history] = -np.inf
        return scores, without
