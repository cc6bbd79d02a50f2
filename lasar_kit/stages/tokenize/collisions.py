"""Items that share a semantic ID, told apart or kept together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Quantizer
from lasar_kit.core.vocabulary import MAX_LEVELS
from lasar_kit.errors import UserError

CollisionRule = Literal["reassign", "suffix", "allow"]

_CELLS = 1 << 24
"""Entries of a distance table held at once."""
_CANDIDATES = 1 << 16
"""Candidate SIDs decoded at once."""


def resolve(
    codes: Int[Tensor, "I M"],
    embeddings: Float[Tensor, "I E"],
    quantizer: Quantizer,
    rule: CollisionRule = "reassign",
) -> tuple[Int[Tensor, "I N"], tuple[int, ...], dict[str, float | str]]:
    """Codes after the rule, codes a level, and what was found and done.

    Of the items that share a SID the one nearest its reconstruction is the first.
    `reassign`: the first stays; the others, nearest first, move to the nearest free SID under their own
    prefix of M - 1 levels, where that has none left under M - 2, and so on. An item leaves its prefix
    only if more items than codes have it. `suffix`: one more level for all items numbers those that
    share a SID, N = M + 1. `allow`: codes stay as they are.

    Raises `UserError` where the rule cannot give what it promises.
    """
    rank, report = _ranked(codes, embeddings, quantizer)
    report |= {"rule": rule, "moved": 0, "moved_out_of_prefix": 0}
    if rule == "allow":
        return codes, quantizer.sizes, report
    if rule == "suffix":
        return *_suffixed(codes, rank, quantizer.sizes), report
    leaves = math.prod(quantizer.sizes)
    if len(codes) > leaves:
        raise UserError(
            f"collision reassign: {len(codes)} items, but levels of {list(quantizer.sizes)} codes hold only "
            f"{leaves}: raise the quantizer's codes or levels"
        )
    moved = _reassign(codes, embeddings, quantizer, rank)
    changed = codes != moved
    report["moved"] = int(changed.any(dim=1).sum())
    report["moved_out_of_prefix"] = int(changed[:, :-1].any(dim=1).sum())
    return moved, quantizer.sizes, report


def _ranked(
    codes: Int[Tensor, "I M"], embeddings: Float[Tensor, "I E"], quantizer: Quantizer
) -> tuple[Int[np.ndarray, " I"], dict[str, float | str]]:
    """Each item's place among those of its SID, nearest to the reconstruction first; and the counts."""
    _, leaf, count = np.unique(codes.cpu().numpy(), axis=0, return_inverse=True, return_counts=True)
    leaf = leaf.reshape(-1)
    distance = (embeddings - quantizer.decode(codes)).double().square().sum(dim=1).cpu().numpy()
    order = np.lexsort((np.arange(len(leaf)), distance, leaf))
    start = np.concatenate([[0], count.cumsum()[:-1]]) if len(count) else count
    rank = np.empty(len(leaf), dtype=np.int64)
    rank[order] = np.arange(len(leaf)) - np.repeat(start, count)
    groups = count[count > 1]
    report: dict[str, float | str] = {
        "items_sharing": int(groups.sum()),
        "groups": len(groups),
        "largest_group": int(groups.max()) if len(groups) else 0,
        "distinct": len(count),
    }
    return rank, report


def _suffixed(
    codes: Int[Tensor, "I M"], rank: Int[np.ndarray, " I"], sizes: tuple[int, ...]
) -> tuple[Int[Tensor, "I M+1"], tuple[int, ...]]:
    if len(sizes) == MAX_LEVELS:
        raise UserError(f"collision suffix: {MAX_LEVELS} levels leave no room for another: lower levels")
    suffix = torch.from_numpy(rank).to(codes)
    return torch.cat([codes, suffix[:, None]], dim=1), (*sizes, int(rank.max(initial=0)) + 1)


def _reassign(
    codes: Int[Tensor, "I M"],
    embeddings: Float[Tensor, "I E"],
    quantizer: Quantizer,
    rank: Int[np.ndarray, " I"],
) -> Int[Tensor, "I M"]:
    """Move all items but the first of each SID; rounds widen the search by a level at a time."""
    moved = codes.clone()
    distance = (embeddings - quantizer.decode(codes)).double().square().sum(dim=1).cpu().numpy()
    waiting = np.flatnonzero(rank > 0)
    waiting = waiting[np.argsort(distance[waiting], kind="stable")]
    settled = rank == 0
    for prefix_length in reversed(range(len(quantizer.sizes))):
        # Items of different prefixes do not compete, so each prefix is a search of its own.
        for movers, prefix, taken in _by_prefix(moved, waiting, settled, prefix_length, quantizer.sizes):
            free = np.flatnonzero(~taken)
            candidates = under(prefix, free, quantizer.sizes)
            chosen = choose(embeddings[movers], candidates, quantizer)
            placed = movers[: len(chosen)]
            moved[placed] = candidates[chosen].to(moved)
            settled[placed] = True
        waiting = waiting[~settled[waiting]]
        if not len(waiting):
            break
    return moved


def _by_prefix(
    codes: Int[Tensor, "I M"],
    waiting: Int[np.ndarray, " n"],
    settled: Bool[np.ndarray, " I"],
    prefix_length: int,
    sizes: tuple[int, ...],
) -> Iterator[tuple[Int[np.ndarray, " g"], Int[np.ndarray, " p"], Bool[np.ndarray, " C"]]]:
    """The items that wait under each prefix, in their order, and which of its C leaves are taken."""
    table = codes.cpu().numpy()
    prefixes, group = np.unique(table[:, :prefix_length], axis=0, return_inverse=True)
    group = group.reshape(-1)
    members = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[members], np.arange(len(prefixes) + 1))
    position = np.full(len(table), -1)
    position[waiting] = np.arange(len(waiting))
    for index in np.unique(group[waiting]):
        inside = members[bounds[index] : bounds[index + 1]]
        movers = inside[position[inside] >= 0]
        taken = np.zeros(math.prod(sizes[prefix_length:]), dtype=bool)
        leaves = table[inside[settled[inside]], prefix_length:]
        taken[np.ravel_multi_index(tuple(leaves.T), sizes[prefix_length:])] = True
        yield movers[np.argsort(position[movers])], prefixes[index], taken


def under(
    prefix: Int[np.ndarray, " p"], leaves: Int[np.ndarray, " C"], sizes: tuple[int, ...]
) -> Int[Tensor, "C M"]:
    """The SIDs of numbered leaves under a prefix."""
    rest = np.stack(np.unravel_index(leaves, sizes[len(prefix) :]), axis=1)
    return torch.from_numpy(np.concatenate([np.tile(prefix, (len(leaves), 1)), rest], axis=1))


def choose(
    embeddings: Float[Tensor, "g E"], candidates: Int[Tensor, "C M"], quantizer: Quantizer
) -> Int[np.ndarray, " c"]:
    """The nearest candidate of each item that nobody before it took; min(g, C) of them."""
    chosen: list[int] = []
    if not len(candidates):
        return np.array(chosen, dtype=np.int64)
    gone = np.zeros(len(candidates), dtype=bool)
    for block in torch.split(embeddings[: len(candidates)], max(1, _CELLS // len(candidates))):
        distance = _distances(block, candidates, quantizer)
        for row in distance:
            row[gone] = np.inf
            best = int(row.argmin())
            gone[best] = True
            chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def _distances(
    rows: Float[Tensor, "g E"], candidates: Int[Tensor, "C M"], quantizer: Quantizer
) -> Float[np.ndarray, "g C"]:
    """Squared distances to the reconstructions, less each row's own square, which changes no order."""
    wide = rows.double()
    parts = []
    for chunk in torch.split(candidates.to(rows.device), _CANDIDATES):
        points = quantizer.decode(chunk).double()
        parts.append(points.square().sum(dim=1) - 2 * wide @ points.T)
    return torch.cat(parts, dim=1).cpu().numpy()
