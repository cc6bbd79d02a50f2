"""Segments by meaning."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lasar_kit.core.reasoning.sentences import sentences
from lasar_kit.core.sentence_model import load_sentence_model
from lasar_kit.core.values import Env
from lasar_plugins.segmenter.standard.config import EmbeddingSegmenterConfig

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class EmbeddingSegmenter:
    """Cuts between neighbouring sentences whose cosine lies under the threshold (paper 2.3).

    Where that makes too few or too many segments, the cuts are those of lowest cosine, as many as may be.
    """

    def __init__(self, config: EmbeddingSegmenterConfig, env: Env) -> None:
        self.config = config
        self.device = env.device

    def segment(self, text: str) -> list[str]:
        parts = sentences(text)
        if len(parts) < 2 or self.config.max_segments == 1:
            return [" ".join(parts)] if parts else []
        vectors = self._model.encode(
            parts, show_progress_bar=False, normalize_embeddings=True, convert_to_numpy=True
        )
        starts = [0, *self.cuts((vectors[:-1] * vectors[1:]).sum(axis=1)), len(parts)]
        return [" ".join(parts[a:b]) for a, b in pairwise(starts)]

    def cuts(self, cosine: Float[np.ndarray, " n"]) -> list[int]:
        """Sentences that begin a segment, the first left out; `cosine[n]` is of sentences n and n + 1."""
        below = int((cosine < self.config.threshold).sum())
        count = min(max(below, self.config.min_segments - 1), self.config.max_segments - 1)
        lowest = np.argsort(cosine, kind="stable")[:count]
        return sorted((lowest + 1).tolist())

    @cached_property
    def _model(self) -> SentenceTransformer:
        return load_sentence_model(
            self.config.model, self.device, "segmenter embedding", self.config.revision
        )
