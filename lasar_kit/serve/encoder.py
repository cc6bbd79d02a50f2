"""Item vectors of a trained model, from which semantic IDs are made that know who bought what after what."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.serve.encoder_config import TrainedConfig
from lasar_kit.serve.ranker import own_rows, same_training
from lasar_kit.serve.recommend import LoadedRun


class TrainedEncoder:
    """The input embeddings of each item's tokens, side by side: of an ID model, the item's own row.

    An item that the run does not know, as it came later, has the vector 0.
    """

    def __init__(self, config: TrainedConfig, env: Env) -> None:
        self.config, self.env = config, env

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """Return one vector an item; raise `UserError` for a run that was trained on other interactions."""
        vectors = self._of_run(items, train) if self.config.run else self._of_stage()
        if self.config.normalize:
            norm = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
        return vectors

    def _of_stage(self) -> Float[np.ndarray, "I E"]:
        assert self.env.item_vectors is not None, "a stage that tokenizes or trains gives them"
        return self.env.item_vectors()

    def _of_run(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        assert self.config.run is not None, "asked for by `encode` where there is one"
        assert self.env.catalogue is not None, "built by a catalogue"
        model = LoadedRun.load(self.config.run, self.env.catalogue)
        own = own_rows(items, model.dataset)
        if not (own >= 0).any():
            raise UserError(f"{self.config.run}: knows none of this run's items")
        same_training(self.config.run, train, own, model.dataset)
        known = model.item_vectors()
        return np.where((own >= 0)[:, None], known[own], np.float32(0))
