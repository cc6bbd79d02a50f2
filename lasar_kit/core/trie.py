"""The catalogue as a trie of flat arrays: the children of any batch of nodes by a gather.

Nodes of a level are numbered in the order of their prefixes, so the children of a node are consecutive.
Shape letters as in `lasar_kit.core.values`, and K token ids of a level, n nodes of it, C candidates a node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from lasar_kit.core.values import SidTable

MEGABYTE = 2**20


class Alphabet:
    """The tokens of each level, ascending; a token's rank among them.

    Where only a level's own tokens compete, logits of no others are computed, and the trie is one of ranks.
    """

    def __init__(self, table: SidTable, device: str) -> None:
        self.levels = [column.unique().to(device) for column in table.tokens.T]

    def ranks(self, tokens: Int[Tensor, "n m"]) -> Int[Tensor, "n m"]:
        """Each token's rank at its level, of the first m levels."""
        columns = zip(self.levels[: tokens.shape[1]], tokens.T.contiguous(), strict=True)
        return torch.stack([torch.searchsorted(level, column) for level, column in columns], dim=1)

    def rank_table(self, table: SidTable) -> SidTable:
        """The catalogue spelled in ranks."""
        return SidTable(self.ranks(table.tokens.to(self.levels[0].device)))


@dataclass(frozen=True)
class DenseLevel:
    """Children by a table: node n's child with the k-th token of the level, -1 where there is none."""

    tokens: Int[Tensor, " K"]
    table: Int[Tensor, "n K"]

    def children(self, node: Int[Tensor, "*S"]) -> Int[Tensor, "*S C"]:
        """Child nodes, -1 where a candidate is not one; C = K."""
        return self.table[node]

    def pick(self, logits: Shaped[Tensor, "*S V"], child: Int[Tensor, "*S C"]) -> Shaped[Tensor, "*S C"]:
        """The candidates' logits."""
        return logits.index_select(-1, self.tokens)

    def token(self, child: Int[Tensor, "*S"], candidate: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
        """Token ids of children that are the `candidate`-th of their node."""
        return self.tokens[candidate]

    def taken(self, child: Int[Tensor, "*S C"], token: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
        """Which of the candidates `child` spells `token`; one of them must."""
        return torch.searchsorted(self.tokens, token.contiguous())


@dataclass(frozen=True)
class SparseLevel:
    """Children by compressed rows: node n's are `first[n]` up to `first[n + 1]`, their tokens `token_of`."""

    first: Int[Tensor, " bounds"]
    token_of: Int[Tensor, " children"]
    widest: int

    def children(self, node: Int[Tensor, "*S"]) -> Int[Tensor, "*S C"]:
        """Child nodes, -1 where a node has fewer than C, the most children of any node."""
        child = self.first[node][..., None] + torch.arange(self.widest, device=node.device)
        return torch.where(child < self.first[node + 1][..., None], child, -1)

    def pick(self, logits: Shaped[Tensor, "*S V"], child: Int[Tensor, "*S C"]) -> Shaped[Tensor, "*S C"]:
        """The candidates' logits."""
        return logits.gather(-1, self.token_of[child])

    def token(self, child: Int[Tensor, "*S"], candidate: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
        """Token ids of children."""
        return self.token_of[child]

    def taken(self, child: Int[Tensor, "*S C"], token: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
        """Which of the candidates `child` spells `token`; one of them must."""
        spelled = self.token_of[child.clamp_min(0)]
        return ((spelled == token[..., None]) & (child >= 0)).int().argmax(-1)


Level = DenseLevel | SparseLevel


def candidates(
    level: Level, node: Int[Tensor, "*S"], logits: Shaped[Tensor, "*S V"]
) -> tuple[Int[Tensor, "*S C"], Bool[Tensor, "*S C"], Shaped[Tensor, "*S C"]]:
    """The constraint itself: child nodes of a batch of nodes, which of them exist, their tokens' logits."""
    child = level.children(node)
    allowed = child >= 0
    child = child.clamp_min(0)
    return child, allowed, level.pick(logits, child)


@dataclass(frozen=True)
class Trie:
    """M levels of transitions from the root, and the item of each leaf."""

    levels: tuple[Level, ...]
    item: Int[Tensor, " leaves"]

    @classmethod
    def of(cls, table: SidTable, budget_megabytes: int, device: str) -> Trie:
        """Build from all items at once; where items share a leaf, its item is the first of them.

        Levels get a dense table from the root downwards while the tables together keep within the budget.
        """
        tokens = table.tokens.cpu().numpy()
        order, firsts = prefixes(tokens)
        parent = np.zeros(len(order), dtype=np.int64)
        levels: list[Level] = []
        budget = budget_megabytes * MEGABYTE
        for column, starts in zip(tokens[order].T, firsts, strict=True):
            node = starts.cumsum() - 1
            level = _level(parent[starts], column[starts], budget, device)
            if isinstance(level, DenseLevel):
                budget -= level.table.nbytes
            levels.append(level)
            parent = node
        return cls(tuple(levels), torch.from_numpy(order[starts]).to(device))


def prefixes(
    tokens: Int[np.ndarray, "I M"],
) -> tuple[Int[np.ndarray, " I"], list[Bool[np.ndarray, " I"]]]:
    """The items in the order of their tokens, equal ones as they were; and for each level where in that order
    a node begins, its prefix being another than that of the item before."""
    order = np.lexsort(tokens.T[::-1])
    starts = np.zeros(len(order), dtype=bool)
    starts[0] = True
    firsts = []
    for column in tokens[order].T:
        starts = starts.copy()
        starts[1:] |= column[1:] != column[:-1]
        firsts.append(starts)
    return order, firsts


def _level(
    parent: Int[np.ndarray, " children"], token: Int[np.ndarray, " children"], budget: int, device: str
) -> Level:
    """One level from its nodes' parents and tokens, both sorted by parent, then token."""
    nodes = int(parent[-1]) + 1
    tokens, code = np.unique(token, return_inverse=True)
    child = np.arange(len(token))
    if nodes * len(tokens) * 4 <= budget:
        dense = np.full((nodes, len(tokens)), -1, dtype=np.int32)
        dense[parent, code] = child
        return DenseLevel(torch.from_numpy(tokens).to(device), torch.from_numpy(dense).to(device))
    first = np.searchsorted(parent, np.arange(nodes + 1))
    return SparseLevel(
        torch.from_numpy(first).to(device),
        torch.from_numpy(token).to(device),
        widest=int(np.diff(first).max()),
    )
