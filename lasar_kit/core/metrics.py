"""Ranking metrics of leave-one-out evaluation: one target a user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

CUTOFFS = (5, 10, 20)

HISTORY_IN, HISTORY_OUT = PROTOCOLS = ("history_in", "history_out")
"""The two protocols: the user's own items may be in the lists, or are left out. Numbers of the
one say nothing beside numbers of the other."""


def gain(rank: Int[np.ndarray, " *S"], cutoff: int) -> tuple[np.ndarray, np.ndarray]:
    """HR@K and NDCG@K of a target at `rank` (paper Eqs. 7 and 8); ranks count from 1, 0 is a miss.

    With one target the ideal DCG is 1, so NDCG is 1 / log2(rank + 1) within the cutoff, else 0.
    """
    hit = ((rank >= 1) & (rank <= cutoff)).astype(np.float64)
    return hit, hit / np.log2(np.maximum(rank, 1) + 1.0)


def per_user(
    rank: Int[np.ndarray, " U"], ties: Int[np.ndarray, " U"] | None = None, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Float[np.ndarray, " U"]]:
    """`hr@K` and `ndcg@K` of every user.

    `ties[u]` items share the score of u's target and take ranks `rank .. rank + ties - 1` between them
    in an unknown order: the metric is then its mean over these ranks.
    """
    most = int(ties.max()) if ties is not None and len(ties) else 1
    spread = np.arange(min(most, max(cutoffs)))  # the ranks behind gain nothing
    size = np.ones_like(rank) if ties is None else ties
    ranks = np.where((rank[:, None] > 0) & (spread < size[:, None]), rank[:, None] + spread, 0)
    values: dict[str, Float[np.ndarray, " U"]] = {}
    for cutoff in cutoffs:
        hit, discounted = gain(ranks, cutoff)
        values[f"hr@{cutoff}"] = hit.sum(1) / size
        values[f"ndcg@{cutoff}"] = discounted.sum(1) / size
    return values


def summary(
    rank: Int[np.ndarray, " U"], ties: Int[np.ndarray, " U"] | None = None, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, float]:
    """Means of `per_user` over all users, hit rates first."""
    values = per_user(rank, ties, cutoffs)
    return {name: float(values[name].mean()) for name in sorted(values, key=lambda name: name[0] == "n")}
