"""Swing (Yang et al. 2020, arXiv:2010.05525): two items are alike by the pairs of users who have both.

Sum over pairs of users u < v of both items of w_u w_v / (smoothing + |I_u & I_v|), with
w_u = (user_smoothing + |I_u|)^-user_power. One user alone makes no two items alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix, diags, triu

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.recent import recent_items
from lasar_kit.core.values import Env
from lasar_plugins.ranker.swing.config import SwingConfig

USERS = 512
"""Users who are compared with all others at once."""


class Swing:
    """Likeness of two items summed over the recent history with a decay by age; items that are like none of
    it are not listed."""

    draws_ties = False

    def __init__(self, config: SwingConfig, env: Env) -> None:
        self.config = config
        self.alike = csr_matrix((0, 0))

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Weigh the pairs of users who share two items or more."""
        user = np.repeat(np.arange(len(train)), train.lengths)
        has = csr_matrix((np.ones(len(train.items)), (user, train.items)), shape=(len(train), items.height))
        has.data[:] = 1.0  # a repeat counts once
        owned = np.asarray(has.sum(axis=1)).ravel()
        weight = np.maximum(owned + self.config.user_smoothing, 1.0) ** -self.config.user_power
        alike = csr_matrix((items.height, items.height))
        for start in range(0, len(train), USERS):
            shared = triu(has[start : start + USERS] @ has.T, k=start + 1).tocoo()
            one, other, number = shared.row + start, shared.col, shared.data
            one, other, number = (part[shared.data > 1] for part in (one, other, number))
            both = has[one].multiply(has[other]).tocsr()
            pair = weight[one] * weight[other] / (self.config.smoothing + number)
            alike = alike + both.T @ diags(pair) @ both
        alike = csr_matrix(alike)
        alike.setdiag(0.0)  # an item is no neighbour of its own
        self.alike = alike

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Weighted sums of likeness."""
        asked = recent_items(histories, self.alike.shape[0], self.config.recent, self.config.decay)
        scores: Float[np.ndarray, "U I"] = (asked @ self.alike).toarray()
        scores[scores <= 0] = -np.inf
        return scores
