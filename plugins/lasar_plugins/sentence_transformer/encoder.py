"""Item text through a sentence-transformers model (Reimers and Gurevych, 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from transformers.utils import logging

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.sentence_transformer.config import SentenceTransformerConfig


class SentenceTransformerEncoder:
    """Embeds item text; zero for an item without text."""

    def __init__(self, config: SentenceTransformerConfig, env: Env) -> None:
        self.config = config
        self.device = env.device

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One vector an item; `UserError` where the model cannot be had."""
        texts = item_text(items, self.config.fields)
        embeddings = self._load().encode(
            texts,
            batch_size=self.config.batch_size,
            show_progress_bar=False,
            normalize_embeddings=self.config.normalize,
            convert_to_numpy=True,
        )
        has_text = np.array([bool(text) for text in texts])
        return np.where(has_text[:, None], embeddings, 0).astype(np.float32)

    def _load(self) -> SentenceTransformer:
        """The model, its weights from safetensors only and no code of its own."""
        model = self.config.model
        if Path(model).is_absolute() and not Path(model).is_dir():
            raise UserError(f"text_encoder sentence_transformer: model: no such folder: {model}")
        try:
            with _without_progress_bars():
                return SentenceTransformer(
                    model,
                    device=self.device,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
        except (OSError, ValueError) as error:
            what = "cannot be loaded"
            if not Path(model).is_absolute():
                what = "is not a folder, and not to be had from the hub: offline, name a saved model's folder"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"text_encoder sentence_transformer: model: {model!r} {what} ({reason})"
            ) from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading draws bars on stderr that no argument turns off."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
