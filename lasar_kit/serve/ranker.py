"""A finished run as a ranker, to stand beside another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.allowed import Limit
from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.model.ranking import Ranking, without
from lasar_kit.serve.ranker_config import RunConfig
from lasar_kit.serve.recommend import LoadedRun


class RunRanker:
    """The last model of a run; it was fitted before, and `fit` makes sure that it was on the same.

    Scores are log-probabilities of the items in the run's own beam. Items that share a SID have the same,
    that of the SID.
    """

    draws_ties = True

    def __init__(self, config: RunConfig, env: Env) -> None:
        assert env.catalogue is not None, "built by a catalogue"
        self.config = config
        self.model = LoadedRun.load(config.run, env.catalogue)
        assert self.model.origin is not None, "loaded from a run"
        self._of_items = self.model.origin.loaded.spec.decoder.renormalises
        self._own: Int[np.ndarray, " I"] = np.zeros(0, dtype=np.int64)
        self._sharers: Int[np.ndarray, " I"] = self._own

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """`UserError` where the run has other items, or was trained on other interactions."""
        unknown = set(items["id"]).symmetric_difference(self.model.dataset.items["id"])
        if unknown:
            has = f"{self.model.dataset.items.height:,} items"
            missing = next((item for item in items["id"] if item in unknown), None)
            other = f"it has {has}" if missing is None else f"{missing!r} is none of its items"
            raise UserError(f"{self.config.run}: has another catalogue than this run: {other}")
        self._own = own_rows(items, self.model.dataset)
        same_training(self.config.run, train, self._own, self.model.dataset)
        leaves = self.model.recommender.prompts.table.leaves.cpu().numpy()
        self._sharers = np.bincount(leaves)[leaves][self._own]

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

    def probabilities(self, scores: Float[np.ndarray, "U I"]) -> Float[np.ndarray, "U I"] | None:
        """The model's own, of which items that share a SID have a part each; what lies outside of the beam
        stays there. None where they are not of items alone: nobody knows what all items have together."""
        if not self._of_items:
            return None
        own: Float[np.ndarray, "U I"] = np.exp(scores) / self._sharers
        return own

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


def own_rows(items: pl.DataFrame, dataset: Dataset) -> Int[np.ndarray, " I"]:
    """Return the row of each item in the item table of a run's data set, -1 for what is none of its items."""
    row = {item: place for place, item in enumerate(dataset.items["id"])}
    return np.array([row.get(item, -1) for item in items["id"]], dtype=np.int64)


def same_training(run: Path, train: Sequences, own: Int[np.ndarray, " I"], dataset: Dataset) -> None:
    """Raise `UserError` unless a run, whose rows of the items are `own`, was trained on the same."""
    if _rows(train, own) != _rows(dataset.train, np.arange(dataset.items.height)):
        raise UserError(
            f"{run}: was trained on other interactions than this run's training part, so the two do not "
            "compare"
        )


def _rows(sequences: Sequences, own: Int[np.ndarray, " I"]) -> list[bytes]:
    """Return bytes that identify sequences in whatever order of users."""
    return sorted(own[sequences[user]].astype(np.int64).tobytes() for user in range(len(sequences)))
