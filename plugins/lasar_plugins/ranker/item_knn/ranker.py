"""Item-based nearest neighbours (Sarwar et al. 2001), all of them, on the recent history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.recent import recent_items
from lasar_kit.core.user_cosine import user_cosine
from lasar_kit.core.values import Env
from lasar_plugins.ranker.item_knn.config import ItemKnnConfig


class ItemKnn:
    """Cosine between the users of two items, summed over the recent history with a decay by age; items that
    share no user with any of it are not listed."""

    draws_ties = False

    def __init__(self, config: ItemKnnConfig, env: Env) -> None:
        self.config = config
        self.cosine = csr_matrix((0, 0))

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Compare the users of each two items."""
        self.cosine = user_cosine(train, items.height)
        self.cosine.setdiag(0.0)  # an item is no neighbour of its own

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Weighted sums of cosines."""
        asked = recent_items(histories, self.cosine.shape[0], self.config.recent, self.config.decay)
        scores: Float[np.ndarray, "U I"] = (asked @ self.cosine).toarray()
        scores[scores <= 0] = -np.inf
        return scores
