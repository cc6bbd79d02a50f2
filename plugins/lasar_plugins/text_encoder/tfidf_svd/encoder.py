"""Latent semantic analysis (Deerwester et al., 1990): tf-idf, then a truncated SVD."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_plugins.text_encoder.tfidf_svd.config import TfidfSvdConfig

_NOTHING = 1e-6
"""Norm under which a projected row is rounding noise; tf-idf rows have norm 1."""


class TfidfSvdEncoder:
    """Unit vectors from the words of an item; zero for an item without words."""

    def __init__(self, config: TfidfSvdConfig, env: Env) -> None:
        self.config = config
        self.seed = env.seed

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item, of `dimensions` or, in a small catalogue, min(items, terms) coordinates."""
        weights = self._tfidf(item_text(items, self.config.fields))
        if weights is None:
            return np.zeros((items.height, 1), dtype=np.float32)
        rank = min(self.config.dimensions, *weights.shape)
        _, _, components = randomized_svd(weights, rank, n_iter=7, random_state=self.seed)
        projected = weights @ components.T
        norm = np.linalg.norm(projected, axis=1, keepdims=True)
        unit = np.divide(projected, norm, out=np.zeros_like(projected), where=norm > _NOTHING)
        vectors: Float[np.ndarray, "I E"] = unit.astype(np.float32)
        return vectors

    def _tfidf(self, texts: list[str]) -> csr_matrix | None:
        """Rows of unit norm, or None where no text has a word."""
        # A term of one item tells nothing about others, but in a catalogue where no term is shared
        # it is all there is.
        for min_items in (self.config.min_items, 1):
            vectorizer = TfidfVectorizer(
                ngram_range=(1, self.config.ngrams),
                min_df=min(min_items, len(texts)),
                max_features=self.config.max_terms,
                sublinear_tf=True,
            )
            try:
                return vectorizer.fit_transform(texts)
            except ValueError:  # scikit-learn's answer to an empty vocabulary
                continue
        return None
