"""A finished run as a ranker, to stand beside another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.serve.ranker_config import RunConfig
from lasar_kit.serve.recommend import LoadedRun


class RunRanker:
    """The last model of a run; it was fitted before, and `fit` makes sure that it was on the same.

    Scores are log-probabilities of the items in the run's own beam. Items that share a SID have the same.
    """

    draws_ties = True

    def __init__(self, config: RunConfig, env: Env) -> None:
        assert env.catalogue is not None, "built by a catalogue"
        self.config = config
        self.model = LoadedRun.load(config.run, env.catalogue)
        self._own: Int[np.ndarray, " I"] = np.zeros(0, dtype=np.int64)

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """`UserError` where the run has other items, or was trained on other interactions."""
        row = {item: place for place, item in enumerate(self.model.dataset.items["id"])}
        unknown = [item for item in items["id"] if item not in row]
        if unknown or len(row) != items.height:
            other = f"{unknown[0]!r} is none of its items" if unknown else f"it has {len(row):,} items"
            raise UserError(f"{self.config.run}: has another catalogue than this run: {other}")
        self._own = np.array([row[item] for item in items["id"]], dtype=np.int64)
        if _rows(train, self._own) != _rows(self.model.dataset.train, np.arange(len(row))):
            raise UserError(
                f"{self.config.run}: was trained on other interactions than this run's training part, so the "
                "two do not compare"
            )

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Log-probabilities; -inf for what is not in the beam."""
        ranked = self.model.rank_rows([self._own[history] for history in histories], self.config.batch_size)
        own = np.full((len(histories), len(self._own) + 1), -np.inf)
        np.put_along_axis(
            own, ranked.items, ranked.scores.astype(np.float64), axis=1
        )  # -1 is the last column
        scores: Float[np.ndarray, "U I"] = own[:, self._own]
        return scores


def _rows(sequences: Sequences, own: Int[np.ndarray, " I"]) -> list[bytes]:
    """Return bytes that identify sequences in whatever order of users."""
    return sorted(own[sequences[user]].astype(np.int64).tobytes() for user in range(len(sequences)))
