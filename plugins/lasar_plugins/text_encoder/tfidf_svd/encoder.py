"""Latent semantic analysis (Deerwester et al., 1990): tf-idf, then a truncated SVD."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_plugins.text_encoder.tfidf_svd.config import TfidfSvdConfig

_NOTHING = 1e-6
"""Norm under which a projected row is rounding noise; tf-idf rows have norm 1."""
_ROWS = 1 << 14
"""Items that are projected at once."""


class TfidfSvdEncoder:
    """Unit vectors from the words of an item; zero for an item without words."""

    def __init__(self, config: TfidfSvdConfig, env: Env) -> None:
        self.config = config
        self.seed = env.seed
        self.terms: list[str] = []
        self.idf: Float[np.ndarray, " T"] = np.zeros(0)
        self.components: Float[np.ndarray, "E T"] = np.zeros((1, 0))

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item, of `dimensions`, or of as many as there are terms or items learnt from."""
        most = self.config.fit_items
        if 0 < most < items.height:
            drawn = np.sort(np.random.default_rng(self.seed).choice(items.height, most, replace=False))
            self._fit(items[drawn])
            return self.embed(items)
        weights = self._fit(items)
        return np.zeros((items.height, 1), dtype=np.float32) if weights is None else self._projected(weights)

    def _fit(self, items: pl.DataFrame) -> csr_matrix | None:
        """Learn terms and axes; the items' rows, or None where no text has a word."""
        weights = self._tfidf(item_text(items, self.config.fields))
        if weights is None:
            self.terms, self.idf, self.components = [], np.zeros(0), np.zeros((1, 0))
            return None
        rank = min(self.config.dimensions, *weights.shape)
        _, _, self.components = randomized_svd(weights, rank, n_iter=7, random_state=self.seed)
        return weights

    @property
    def embeds_later(self) -> bool:
        """Always: words that the catalogue never held tell nothing, the others what they always do."""
        return True

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "n E"]:
        """One vector an item, from the words that it has in common with the catalogue."""
        if not self.terms:
            return np.zeros((items.height, len(self.components)), dtype=np.float32)
        vectorizer = self._vectorizer(vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        parts = [
            self._projected(vectorizer.transform(item_text(rows, self.config.fields)))
            for rows in items.iter_slices(_ROWS)
        ]
        return np.concatenate([np.zeros((0, len(self.components)), dtype=np.float32), *parts])

    def state_dict(self) -> dict[str, Tensor]:
        """Terms, a line each in UTF-8; their inverse document frequencies; the axes of the embedding."""
        return {
            "terms": torch.frombuffer(bytearray("\n".join(self.terms).encode() or b"\n"), dtype=torch.uint8),
            "idf": torch.tensor(self.idf),
            "components": torch.from_numpy(self.components.astype(np.float32)),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        self.terms = state["terms"].numpy().tobytes().decode().split("\n")[: len(state["idf"])]
        self.idf, self.components = state["idf"].numpy(), state["components"].double().numpy()

    def _projected(self, weights: csr_matrix) -> Float[np.ndarray, "n E"]:
        vectors = np.zeros((weights.shape[0], len(self.components)), dtype=np.float32)
        for start in range(0, len(vectors), _ROWS):
            projected = weights[start : start + _ROWS] @ self.components.T
            norm = np.linalg.norm(projected, axis=1, keepdims=True)
            unit = np.divide(projected, norm, out=np.zeros_like(projected), where=norm > _NOTHING)
            vectors[start : start + _ROWS] = unit
        return vectors

    def _tfidf(self, texts: list[str]) -> csr_matrix | None:
        """Rows of unit norm, or None where no text has a word."""
        # A term of one item tells nothing about others, but in a catalogue where no term is shared
        # it is all there is.
        for min_items in (self.config.min_items, 1):
            vectorizer = self._vectorizer(
                min_df=min(min_items, len(texts)), max_features=self.config.max_terms
            )
            try:
                weights: csr_matrix = vectorizer.fit_transform(texts)
            except ValueError:  # scikit-learn's answer to an empty vocabulary
                continue
            self.terms, self.idf = vectorizer.get_feature_names_out().tolist(), vectorizer.idf_
            return weights
        return None

    def _vectorizer(self, **options: Any) -> TfidfVectorizer:
        return TfidfVectorizer(ngram_range=(1, self.config.ngrams), sublinear_tf=True, **options)
