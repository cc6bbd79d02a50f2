"""EASE: embarrassingly shallow autoencoders (Steck 2019, arXiv:1905.03375, Eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.recent import recent_items
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.ranker.ease.config import EaseConfig


class Ease:
    """Scores a history x by xB, where B reconstructs the binary user-item matrix X best with a zero diagonal:
    B[i, j] = -P[i, j] / P[j, j], P the inverse of X^T X + l2. All items are listed."""

    draws_ties = False

    def __init__(self, config: EaseConfig, env: Env) -> None:
        self.config = config
        self.weights: Float[np.ndarray, "I I"] = np.zeros((0, 0))

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Solve for B; `UserError` for a catalogue beyond `max_items`."""
        count = items.height
        if count > self.config.max_items:
            raise UserError(
                f"ranker ease: {count:,} items are dense matrices of {8 * count**2 / 1e9:.1f} GB, and "
                f"max_items is {self.config.max_items:,}; raise it where memory allows, or leave ease out"
            )
        user = np.repeat(np.arange(len(train)), train.lengths)
        seen = csr_matrix((np.ones(len(train.items)), (user, train.items)), shape=(len(train), count))
        seen.data[:] = 1.0  # a repeat counts once
        gram = np.asarray((seen.T @ seen).toarray(order="F"))
        gram[np.diag_indices(count)] += self.config.l2
        self.weights = _inverse(gram)
        self.weights /= -np.diag(self.weights)
        self.weights[np.diag_indices(count)] = 0.0

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Rows of B, added up."""
        asked = recent_items(histories, len(self.weights), self.config.recent, self.config.decay)
        if self.config.decay == 1:
            asked.data[:] = 1.0  # binary, as what was fitted
        scores: Float[np.ndarray, "U I"] = np.asarray(asked @ self.weights)
        return scores


def _inverse(gram: Float[np.ndarray, "I I"]) -> Float[np.ndarray, "I I"]:
    """Of a positive definite matrix, in its own memory, by Cholesky: half the work of a general inverse."""
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    assert not failed, "X^T X + l2 is positive definite"
    inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert not failed, "its factor has no zero"
    lower = np.tril(inverse)
    full: Float[np.ndarray, "I I"] = lower + np.tril(inverse, -1).T
    return full
