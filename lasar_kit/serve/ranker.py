"""A finished run as a ranker, to stand beside another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.allowed import Limit
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.model.ranking import Ranking, without
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
        (ranking,) = self._lists(histories, [None])
        return self._scores(ranking)

    def score_both(
        self, histories: Sequence[Int[np.ndarray, " H"]]
    ) -> tuple[Float[np.ndarray, "U I"], Float[np.ndarray, "U I"]]:
        """The same, and that of a beam that holds no item of its history."""
        inside, outside = self._lists(histories, [None, without(self._own_rows(histories))])
        return self._scores(inside), self._scores(outside)

    def _lists(
        self, histories: Sequence[Int[np.ndarray, " H"]], limits: Sequence[Sequence[Limit] | None]
    ) -> list[Ranking]:
        return self.model.rank_rows(self._own_rows(histories), limits, batch_size=self.config.batch_size)

    def _own_rows(self, histories: Sequence[Int[np.ndarray, " H"]]) -> list[Int[np.ndarray, " H"]]:
        return [self._own[history] for history in histories]

    def _scores(self, ranking: Ranking) -> Float[np.ndarray, "U I"]:
        """In the order of the items that it was fitted on."""
        own = np.full((len(ranking.items), len(self._own) + 1), -np.inf)
        np.put_along_axis(own, ranking.items, ranking.scores.astype(np.float64), axis=1)  # -1: last column
        scores: Float[np.ndarray, "U I"] = own[:, self._own]
        return scores


def _rows(sequences: Sequences, own: Int[np.ndarray, " I"]) -> list[bytes]:
    """Return bytes that identify sequences in whatever order of users."""
    return sorted(own[sequences[user]].astype(np.int64).tobytes() for user in range(len(sequences)))
