"""A mixture of rankers.

Each member's scores become probabilities of the catalogue's items, of which the blend's score is the mean by
the members' shares. Compare a linear opinion pool (Stone 1961).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core.capabilities import ScoresWithout
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.interfaces import Ranker
from lasar_kit.core.shares import probabilities
from lasar_kit.core.values import Env
from lasar_plugins.ranker.blend.config import BlendConfig

Scores = Float[np.ndarray, "U I"]


class Blend:
    """Scores are probabilities, which add up to 1 less what lies outside of members' beams. A member that
    lists nothing behind a history gives all items the same; an item of no probability is not listed, nor is
    any where no member lists one."""

    def __init__(self, config: BlendConfig, env: Env) -> None:
        assert env.build is not None, "Catalogue.build gives it"
        self.config = config
        self.rankers: list[Ranker] = [env.build("ranker", member.ranker, env) for member in config.of]
        self.draws_ties = any(ranker.draws_ties for ranker in self.rankers)

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Fit the members; `UserError` for what one of them cannot be fitted on."""
        for ranker in self.rankers:
            ranker.fit(train, items)

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """The mixture's probabilities."""
        (scores,) = self._mixed(lambda ranker: (ranker.score(histories),))
        return scores

    def score_both(
        self, histories: Sequence[Int[np.ndarray, " H"]]
    ) -> tuple[Float[np.ndarray, "U I"], Float[np.ndarray, "U I"]]:
        """The same, and without each history's own items: what members list in their place comes in, and all
        else keeps its probability."""

        def both(ranker: Ranker) -> tuple[Scores, Scores]:
            if isinstance(ranker, ScoresWithout):
                return ranker.score_both(histories)
            scores = ranker.score(histories)
            return scores, scores

        inside, outside = self._mixed(both)
        for row, history in zip(outside, histories, strict=True):
            row[history] = -np.inf
        return inside, outside

    def probabilities(self, scores: Float[np.ndarray, "U I"]) -> Float[np.ndarray, "U I"]:
        """The scores, 0 for what is not listed."""
        own: Float[np.ndarray, "U I"] = np.maximum(scores, 0.0)
        return own

    def _mixed(self, ask: Callable[[Ranker], tuple[Scores, ...]]) -> list[Scores]:
        """Mix what members are asked for, list by list; probabilities are those of the first."""
        mixed: list[Scores] = []
        listed = []
        for ranker, member, share in zip(self.rankers, self.config.of, self.config.shares, strict=True):
            inside, *others = ask(ranker)
            own = partial(
                probabilities, ranker, normalise=member.normalise, otherwise=member.ranker.normalised_by
            )
            parts = [share * own(inside), *(share * own(scores, among=inside) for scores in others)]
            mixed = [whole + part for whole, part in zip(mixed, parts, strict=True)] if mixed else parts
            listed.append((inside > -np.inf).any(1))
        for scores in mixed:
            scores[(scores <= 0) | ~np.any(listed, axis=0)[:, None]] = -np.inf
        return mixed
