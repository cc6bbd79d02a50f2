"""Items spread evenly over codes, at the least distance, by entropic optimal transport (Cuturi 2013)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

TINY = 1e-300
"""What stands for a weight too small for float64, so that no code is out of reach."""


def transport(distances: Float[Tensor, "I K"], entropy: float, iterations: int) -> Float[Tensor, "I K"]:
    """Return the share of each item that each code gets, float64: rows sum to 1, columns to I / K.

    `entropy` is in half the range of `distances` (LC-Rec, section 3.2), so that it fits latents of any scale.
    Columns are evened last; rows are as near 1 as the rounds have brought them.
    """
    wide = distances.double()
    half = (wide.max() - wide.min()) / 2
    # A row's own least distance changes nothing of the plan, and keeps a weight of 1 in every row.
    gaps = (wide - wide.amin(dim=1, keepdim=True)) / half.clamp_min(TINY)
    weights = torch.exp(-gaps / entropy).clamp_min(TINY)
    share = len(wide) / wide.shape[1]
    codes = torch.ones_like(weights[0])
    items = 1 / weights.sum(dim=1)
    for _ in range(iterations):
        items = 1 / (weights @ codes)
        codes = share / (items @ weights)
    return items[:, None] * weights * codes


def seated(plan: Float[Tensor, "I K"]) -> Int[Tensor, " I"]:
    """Return a code for each item, none for more than ceil(I / K): items ask for the largest share that they
    have of a code with room, and codes take those with most of it first."""
    room = torch.full_like(plan[0], -(-len(plan) // plan.shape[1])).long()
    code = torch.full_like(plan[:, 0], -1).long()
    waiting = torch.arange(len(plan), device=plan.device)
    while len(waiting):
        share, wish = plan[waiting].masked_fill(room == 0, -1.0).max(dim=1)
        order = share.argsort(descending=True, stable=True)
        order = order[wish[order].argsort(stable=True)]
        asked = torch.bincount(wish, minlength=len(room))
        place = torch.arange(len(order), device=plan.device) - (asked.cumsum(0) - asked)[wish[order]]
        taken = order[place < room[wish[order]]]
        code[waiting[taken]] = wish[taken]
        room = room - torch.bincount(wish[taken], minlength=len(room))
        waiting = waiting[code[waiting] < 0]
    return code
