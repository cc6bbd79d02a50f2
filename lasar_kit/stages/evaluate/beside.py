"""Rankers beside a model, fitted on its training part, and asked for its users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lasar_kit.core.capabilities import ScoresWithout
from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import Ranker
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT
from lasar_kit.core.places import Places, places
from lasar_kit.data.held_out import HeldOut
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.process.world import in_shares
from lasar_kit.spec import RankerConfig

ROWS, CELLS = 512, 1 << 24
"""Users whose scores of the whole catalogue are held at once, and scores that are, at most."""


def places_beside(
    configs: tuple[RankerConfig, ...], dataset: Dataset, held_out: HeldOut, context: StageContext, device: str
) -> dict[str, dict[str, Places]]:
    """For each protocol where each ranker puts the targets, by what it is called; processes share in the
    users.

    Rankers see the training part, which is all that any stage trains on, and whole histories.
    """
    rows: dict[str, dict[str, Places]] = {HISTORY_IN: {}, HISTORY_OUT: {}}
    env = context.env(device=device)
    for config in configs:
        ranker: Ranker = context.catalogue.build("ranker", config, env)
        ranker.fit(dataset.train, dataset.items)
        for protocol, row in ask(ranker, config.use, held_out, dataset.items.height).items():
            rows[protocol][config.called] = row
    return rows


def ask(ranker: Ranker, name: str, held_out: HeldOut, items: int) -> dict[str, Places]:
    """Where a fitted ranker puts each user's target under either protocol; scores are computed once, but for
    those of a ranker that searches again without the histories."""
    rows = min(ROWS, max(1, CELLS // max(items, 1)))
    starts = range(0, len(held_out.target), rows)

    def part(start: int) -> tuple[Places, Places]:
        users = slice(start, start + rows)
        histories, target = held_out.histories[users], held_out.target[users]
        both = ranker.score_both(histories) if isinstance(ranker, ScoresWithout) else None
        scores = both or (ranker.score(histories),)
        for own in scores:
            _check(own, name, (len(histories), items))
        found = [places(own, target, histories, ranker.draws_ties) for own in scores]
        return found[0][0], found[-1][1]

    inside, outside = zip(*in_shares(starts, part), strict=True)
    return {HISTORY_IN: _joined(inside), HISTORY_OUT: _joined(outside)}


def _joined(parts: Sequence[Places]) -> Places:
    columns = ("rank", "ties", "listed")
    return Places(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def _check(scores: np.ndarray, name: str, shape: tuple[int, int]) -> None:
    """A NaN would stand before all others, and be a hit."""
    if scores.shape != shape:
        raise UserError(f"ranker {name!r}: scores of shape {scores.shape}, where {shape} was asked for")
    if np.isnan(scores).any():
        raise UserError(f"ranker {name!r}: a score is NaN")
