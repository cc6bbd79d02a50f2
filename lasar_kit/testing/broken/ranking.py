"""Rankers that break their laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from lasar_kit.core.dataset import Sequences
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyRanker

BROKEN: Saboteurs = {}


@breaks(BROKEN, "ranker", "scores_are_numbers_or_none")
class Shares(TinyRanker):
    """Divides by a sum, 0 or not."""

    def score(self, histories: Any) -> Any:
        scores = super().score(histories)
        with np.errstate(invalid="ignore"):
            return scores / scores.sum(1, keepdims=True)


@breaks(BROKEN, "ranker", "histories_are_judged_alone")
class OverTheBatch(TinyRanker):
    """Centres scores over those who are asked together."""

    def score(self, histories: Any) -> Any:
        scores = super().score(histories)
        return scores - scores.sum(0) / max(len(scores), 1)


@breaks(BROKEN, "ranker", "histories_are_left_in")
class LeavesThemOut(TinyRanker):
    """Takes what a user has for what the user no longer wants."""

    def score(self, histories: Any) -> Any:
        scores = super().score(histories)
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        return scores


@breaks(BROKEN, "ranker", "histories_are_left_out_where_asked")
class LeavesNothingOut(TinyRanker):
    """Gives the same scores twice."""

    def score_both(self, histories: Any) -> Any:
        return self.score(histories), self.score(histories)


@breaks(BROKEN, "ranker", "scores_can_be_mixed")
class GivesLogarithms(TinyRanker):
    """Gives logarithms, of which its options do not tell."""

    def score(self, histories: Any) -> Any:
        return np.log((1 + super().score(histories)) / 100)


@breaks(BROKEN, "ranker", "probabilities_are_of_what_is_listed")
class TakesScoresForLogarithms(TinyRanker):
    """Gives exponentials of scores that are counts."""

    def probabilities(self, scores: Any) -> Any:
        return np.exp(scores)


@breaks(BROKEN, "ranker", "asking_teaches_nothing")
class LearnsFromQuestions(TinyRanker):
    """Counts what it is asked about as bought."""

    def score(self, histories: Any) -> Any:
        scores = super().score(histories)
        for history in histories:
            self.count[history] += 1
        return scores


@breaks(BROKEN, "ranker", "fitting_begins_anew")
class AddsUp(TinyRanker):
    """Counts on from where it was."""

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        before = self.count
        super().fit(train, items)
        if len(before) == len(self.count):
            self.count += before


@breaks(BROKEN, "ranker", "order_of_users_does_not_matter")
class TheFirstUsers(TinyRanker):
    """Knows the first two users alone."""

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        first = train.offsets[:3]
        super().fit(Sequences(first, train.items[: first[-1]]), items)


@breaks(BROKEN, "ranker", "items_keep_their_scores_in_another_order")
class ByName(TinyRanker):
    """Has columns in the order of ids."""

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        super().fit(train, items)
        self.order = np.argsort(items["id"].to_numpy())

    def score(self, histories: Any) -> Any:
        return super().score(histories)[:, self.order]


@breaks(BROKEN, "ranker", "what_nothing_tells_apart_scores_the_same")
class DrawsTies(TinyRanker):
    """Settles ties by noise."""

    def score(self, histories: Any) -> Any:
        scores = super().score(histories)
        return scores + 1e-9 * np.random.default_rng(self.seed).random(scores.shape[1])
