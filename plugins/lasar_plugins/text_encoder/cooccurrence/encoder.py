"""Positive pointwise mutual information and an SVD (Levy and Goldberg, 2014; Levy et al., 2015)."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.sparse import coo_matrix, csr_matrix
from sklearn.utils.extmath import randomized_svd

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.user_cosine import user_cosine
from lasar_kit.core.values import Env
from lasar_plugins.text_encoder.cooccurrence.config import CooccurrenceConfig


class CooccurrenceEncoder:
    """Unit vectors of items that keep the same company; zero for items without any."""

    def __init__(self, config: CooccurrenceConfig, env: Env) -> None:
        self.config = config
        self.seed = env.seed

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item, from the training sequences alone."""
        information = self._information(train, items.height)
        if information.nnz == 0:
            return np.zeros((items.height, 1), dtype=np.float32)
        rank = min(self.config.dimensions, items.height)
        left, singular, _ = randomized_svd(information, rank, n_iter=7, random_state=self.seed)
        # Square roots of the singular values weigh the dimensions better than the values themselves
        # (Levy et al., 2015, section 6.1).
        projected = left * np.sqrt(singular)
        norm = np.linalg.norm(projected, axis=1, keepdims=True)
        # Singular vectors past the rank point anywhere; their rounding noise must not become a unit vector.
        norm[np.asarray(information.sum(axis=1)) == 0] = 0
        unit = np.divide(projected, norm, out=np.zeros_like(projected), where=norm > 0)
        vectors: Float[np.ndarray, "I E"] = unit.astype(np.float32)
        return vectors

    def _information(self, train: Sequences, items: int) -> csr_matrix:
        """The [I, I] matrix of what two items have to do with each other."""
        if self.config.weighting == "cosine":
            return user_cosine(train, items)
        counts = cooccurrence_counts(train, items, self.config.window, self.config.decay)
        return ppmi(counts, self.config.smoothing)


def cooccurrence_counts(train: Sequences, items: int, window: int, decay: float) -> csr_matrix:
    """Symmetric [I, I] counts: a pair d places apart in a sequence adds decay^(d - 1), d <= window.

    An item is no company to itself, so repeats leave the diagonal zero.
    """
    flat = train.items.astype(np.int64)
    user = np.repeat(np.arange(len(train)), train.lengths)
    total = csr_matrix((items, items), dtype=np.float64)
    for distance in range(1, min(window, len(flat) - 1) + 1):
        pair = (user[:-distance] == user[distance:]) & (flat[:-distance] != flat[distance:])
        first, second = flat[:-distance][pair], flat[distance:][pair]
        weight = np.full(len(first), decay ** (distance - 1))
        total = total + coo_matrix((weight, (first, second)), shape=(items, items)).tocsr()
    return csr_matrix(total + total.T)


def ppmi(counts: csr_matrix, smoothing: float) -> csr_matrix:
    """max(0, log p(i, j) / (p(i) q(j))), with q proportional to the counts to the power `smoothing`."""
    table = counts.tocoo()
    if table.nnz == 0:
        return csr_matrix(counts.shape, dtype=np.float64)
    marginal = np.asarray(counts.sum(axis=1)).ravel()
    smoothed = marginal**smoothing
    total, smoothed_total = marginal.sum(), smoothed.sum()
    joint = table.data / total
    expected = (marginal[table.row] / total) * (smoothed[table.col] / smoothed_total)
    information = np.maximum(np.log(joint / expected), 0)
    result = csr_matrix((information, (table.row, table.col)), shape=counts.shape)
    result.eliminate_zeros()
    return result
