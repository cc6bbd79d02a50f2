"""The catalogue in random order: not drawn, but expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_plugins.ranker.random.config import RandomConfig


class Random:
    """Scores all items alike, and lets ties be drawn: a metric is its exact mean over all orders, HR@K being
    K of I items, or of those that a history leaves."""

    draws_ties = True

    def __init__(self, config: RandomConfig, env: Env) -> None:
        self.items = 0

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Count the items."""
        self.items = items.height

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Nothing but zeros."""
        return np.zeros((len(histories), self.items))
