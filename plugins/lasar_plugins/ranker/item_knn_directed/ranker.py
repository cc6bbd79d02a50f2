"""Item-KNN that knows what came after what: the transitions of all distances, the near ones counting most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix, diags

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.recent import recent_items
from lasar_kit.core.values import Env
from lasar_plugins.ranker.item_knn_directed.config import DirectedItemKnnConfig


class DirectedItemKnn:
    """Scores item j behind i by how often j came after i (and, counting less, before it) for each time that i
    came, summed over the recent history with a decay by age; items that came by none of it are not listed."""

    draws_ties = False

    def __init__(self, config: DirectedItemKnnConfig, env: Env) -> None:
        self.config = config
        self.shares = csr_matrix((0, 0))

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Count pairs, then divide each item's row by how often that item came."""
        after = _pairs(train, items.height, self.config.distance_decay, self.config.window)
        counts = csr_matrix(after + self.config.backward * after.T)
        times = np.maximum(np.bincount(train.items, minlength=items.height), 1)
        self.shares = csr_matrix(diags(times ** -float(self.config.damping)) @ counts)

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Weighted sums of shares."""
        asked = recent_items(histories, self.shares.shape[0], self.config.recent, self.config.decay)
        scores: Float[np.ndarray, "U I"] = (asked @ self.shares).toarray()
        scores[scores <= 0] = -np.inf
        return scores


def _pairs(train: Sequences, items: int, decay: float, window: int) -> csr_matrix:
    """[I, I]: a pair d places apart in a sequence adds decay^(d - 1) from the earlier item to the later.

    An item is no neighbour of its own, so repeats leave the diagonal zero.
    """
    end = np.repeat(train.offsets[1:], train.lengths)
    furthest = int(train.lengths.max(initial=1)) - 1
    # Of each distance only places that have one so far behind them: a long user costs its own pairs alone.
    place = np.arange(len(train.items))
    rows, columns, weights = [], [], []
    for distance in range(1, min(window or furthest, furthest) + 1):
        place = place[place + distance < end[place]]
        earlier, later = train.items[place], train.items[place + distance]
        pair = earlier != later
        rows.append(earlier[pair])
        columns.append(later[pair])
        weights.append(np.full(int(pair.sum()), decay ** (distance - 1)))
    if not rows:
        return csr_matrix((items, items), dtype=np.float64)
    pairs = (np.concatenate(rows), np.concatenate(columns))
    return coo_matrix((np.concatenate(weights), pairs), shape=(items, items)).tocsr()
