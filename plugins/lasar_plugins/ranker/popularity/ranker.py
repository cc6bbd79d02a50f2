"""How often items were bought."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_plugins.ranker.popularity.config import PopularityConfig


class Popularity:
    """Scores items by their number of interactions in the training part; lists none that has none."""

    draws_ties = False

    def __init__(self, config: PopularityConfig, env: Env) -> None:
        self.count: Float[np.ndarray, " I"] = np.zeros(0)

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Count; a repeat counts again."""
        count = np.bincount(train.items, minlength=items.height).astype(np.float64)
        self.count = np.where(count > 0, count, -np.inf)

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """The same row for all."""
        return np.tile(self.count, (len(histories), 1))
