"""Embeddings of several encoders side by side."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.interfaces import TextEncoder
from lasar_kit.core.values import Env
from lasar_plugins.text_encoder.concat.config import ConcatConfig


class ConcatEncoder:
    """Each encoder's vectors scaled to its weight, then concatenated.

    The squared distance of two items is the sum over parts of weight² (2 - 2 cosine).
    """

    def __init__(self, config: ConcatConfig, env: Env) -> None:
        assert env.build is not None, "Catalogue.build gives it"
        self.parts: list[tuple[float, TextEncoder]] = [
            (part.weight, env.build("text_encoder", part.encoder, env)) for part in config.encoders
        ]

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item; a part that has nothing to say about an item stays zero."""
        scaled = []
        for weight, encoder in self.parts:
            part = encoder.encode(items, train).astype(np.float32)
            norm = np.linalg.norm(part, axis=1, keepdims=True)
            scaled.append(weight * np.divide(part, norm, out=np.zeros_like(part), where=norm > 0))
        return np.concatenate(scaled, axis=1).astype(np.float32)
