"""Where lists put the held-out items, with histories in the lists and without."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from lasar_kit.core import metrics
from lasar_kit.core.places import Places
from lasar_kit.core.values import SidTable
from lasar_kit.data.held_out import HeldOut
from lasar_kit.model.ranking import Ranking, target_ranks


def placed(ranking: Ranking, target: Int[np.ndarray, " U"], table: SidTable) -> Places:
    """Where a recommender's lists put the targets."""
    return Places(*target_ranks(ranking.items, target, table), (ranking.items >= 0).sum(1))


def summary(places: Places) -> dict[str, Any]:
    """HR and NDCG, and how many lists end before the last place that these look at."""
    short = int((places.listed < max(metrics.CUTOFFS)).sum())
    return {**metrics.summary(places.rank, places.ties), "short_lists": short}


def by_depth(places: Places, depth: Int[np.ndarray, " U"]) -> dict[str, Any]:
    """For each depth that was chosen, how many users, and their HR and NDCG (Figures 4b and 5b)."""
    rows = {}
    for value in np.unique(depth).tolist():
        chosen = depth == value
        own = metrics.summary(places.rank[chosen], places.ties[chosen])
        rows[str(value)] = {"users": int(chosen.sum()), **own}
    return rows


def in_own_history(held_out: HeldOut) -> Bool[np.ndarray, " U"]:
    """Whose target stands in the history already: no list without histories can hold it."""
    pairs = zip(held_out.target, held_out.histories, strict=True)
    return np.array([target in history for target, history in pairs])
