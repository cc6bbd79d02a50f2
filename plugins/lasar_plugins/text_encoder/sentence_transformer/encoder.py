"""Item text through a sentence-transformers model (Reimers and Gurevych, 2019)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from torch import Tensor

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.item_text import item_text
from lasar_kit.core.sentence_model import load_sentence_model
from lasar_kit.core.values import Env
from lasar_kit.process.world import in_shares
from lasar_plugins.text_encoder.sentence_transformer.config import SentenceTransformerConfig


class SentenceTransformerEncoder:
    """Embeds item text; zero for an item without text. Nothing is fitted: the model stays where it is."""

    embeds_later = True

    def __init__(self, config: SentenceTransformerConfig, env: Env) -> None:
        self.config = config
        self.device = env.device

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item; `UserError` where the model cannot be had."""
        return self.embed(items)

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing."""

    @cached_property
    def _model(self) -> SentenceTransformer:
        return load_sentence_model(
            self.config.model, self.device, "text_encoder sentence_transformer", self.config.revision
        )

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "I E"]:
        """The same: an item's vector is of its text alone."""
        texts, model = item_text(items, self.config.fields), self._model
        # Batches are the same for any number of processes, and so are the vectors, to the last bit.
        order = np.argsort([len(text) for text in texts], kind="stable")
        size = self.config.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        vectors = in_shares(batches, lambda batch: self._embed(model, [texts[row] for row in batch]))
        embeddings = np.concatenate(vectors)[np.argsort(order)]
        has_text = np.array([bool(text) for text in texts])
        return np.where(has_text[:, None], embeddings, 0).astype(np.float32)

    def _embed(self, model: SentenceTransformer, texts: list[str]) -> Float[np.ndarray, "n E"]:
        embeddings: np.ndarray = model.encode(
            texts,
            batch_size=self.config.batch_size,
            show_progress_bar=False,
            normalize_embeddings=self.config.normalize,
            convert_to_numpy=True,
        )
        return embeddings
