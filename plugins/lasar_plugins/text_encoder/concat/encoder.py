"""Embeddings of several encoders side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.capabilities import embedder
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
        self.widths: list[int] = []

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item; a part that has nothing to say about an item stays zero."""
        parts = [encoder.encode(items, train) for _, encoder in self.parts]
        self.widths = [part.shape[1] for part in parts]
        return self._joined(parts)

    @property
    def embeds_later(self) -> bool:
        """Whether any part does; the others have nothing to say about an item that nobody has bought."""
        return any(embedder(encoder) for _, encoder in self.parts)

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "n E"]:
        """One vector an item; parts that do not embed what comes later stay zero."""
        parts = []
        for (_, encoder), width in zip(self.parts, self.widths, strict=True):
            later = embedder(encoder)
            parts.append(later.embed(items) if later else np.zeros((items.height, width)))
        return self._joined(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """Each part's state under its number, and how wide their vectors are."""
        state = {"widths": torch.tensor(self.widths, dtype=torch.int64)}
        for place, (_, encoder) in enumerate(self.parts):
            if later := embedder(encoder):
                state |= {f"{place}.{name}": value for name, value in later.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        self.widths = state["widths"].tolist()
        for place, (_, encoder) in enumerate(self.parts):
            own = f"{place}."
            if later := embedder(encoder):
                later.load_state_dict(
                    {name[len(own) :]: value for name, value in state.items() if name.startswith(own)}
                )

    def _joined(self, parts: Sequence[Float[np.ndarray, "n e"]]) -> Float[np.ndarray, "n E"]:
        """Parts of the lengths that they have by their weights, side by side."""
        scaled = []
        for (weight, _), part in zip(self.parts, parts, strict=True):
            vectors = part.astype(np.float32)
            norm = np.linalg.norm(vectors, axis=1, keepdims=True)
            scaled.append(weight * np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0))
        return np.concatenate(scaled, axis=1).astype(np.float32)
