"""The catalogue as a trie of flat arrays: the children of any batch of nodes by a gather.

What is ordered is the candidates of a node, which ascend by token, and the places of items, which ascend by
SID; numbers of nodes are in no order once items came in (`lasar_kit.core.trie_growth`). Only then does a
level look up where a node's row stands, and are the bounds of places two arrays.
Shape letters as in `lasar_kit.core.values`, and K token ids of a level, n nodes of it, C candidates a node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.prefixes import codes, prefixes
from lasar_kit.core.values import SidTable

MEGABYTE = 2**20
SPARE = MEGABYTE
"""Room, in bytes, that a table has at least for rows that come later."""
SORTED_SHARE = 32
"""Sets of more than one item in so many are counted and not sorted."""
WIDE, THIN = 1024, 4
"""A level of more tokens than `WIDE` of which no node has more than one in `THIN` gets no dense table: a
search would weigh thousands of candidates a beam, nearly all of which are none."""


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

    def holds(self, tokens: Int[Tensor, "n M"]) -> bool:
        """Whether each of these is one of its level's."""
        columns = zip(self.levels, tokens.T, strict=True)
        return all(bool(torch.isin(column, level).all()) for level, column in columns)

    def rank_table(self, table: SidTable) -> SidTable:
        """The catalogue spelled in ranks."""
        return SidTable(self.ranks(table.tokens.to(self.levels[0].device)))


class Rows:
    """A table of children with room behind its rows for more: a row, once written, never changes, so that
    tries of before and after a change share it."""

    def __init__(self, table: Int[Tensor, "room K"], used: int) -> None:
        self.table, self.used = table, used

    @classmethod
    def empty(cls, rows: int, columns: int, device: str | torch.device) -> Rows:
        """For so many rows, not yet written, and an eighth or `SPARE` bytes more.

        In main memory, room that is not written takes next to none.
        """
        shape = (rows + max(rows // 8, SPARE // (4 * columns), 1), columns)
        if torch.device(device).type != "cpu":
            return cls(torch.empty(shape, dtype=torch.int32, device=device), rows)
        # NumPy asks the system for huge pages and torch does not: to write them first takes a fourth.
        return cls(torch.from_numpy(np.empty(shape, dtype=np.int32)), rows)

    def fits(self, rows: int) -> bool:
        """Whether there is room for so many more."""
        return self.used + rows <= len(self.table)

    def append(self, rows: Int[Tensor, "k K"]) -> int:
        """Write rows behind those that there are, and return where."""
        start, self.used = self.used, self.used + len(rows)
        self.table[start : self.used] = rows
        return start


@dataclass(frozen=True)
class DenseLevel:
    """Children by a table: in node n's row of it, `row[n]`, the child with the k-th token of the level, -1
    where there is none. Without `row` that is row n."""

    tokens: Int[Tensor, " K"]
    rows: Rows
    nodes: int
    row: Int[Tensor, " n"] | None = None

    @property
    def nbytes(self) -> int:
        """Of the rows in use."""
        return self.nodes * len(self.tokens) * 4

    def row_of(self, node: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
        """Where the rows of nodes stand."""
        return node if self.row is None else self.row[node]

    def children(self, node: Int[Tensor, "*S"]) -> Int[Tensor, "*S C"]:
        """Child nodes, -1 where a candidate is not one; C = K."""
        return self.rows.table[self.row_of(node)]

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
    """M levels of transitions from the root, and the item of each leaf.

    Sorted by SID, the items below a node follow each other: `place` is where each item then stands, and those
    below node n of a level have the places `span[level][0, n]` up to `span[level][1, n]`. As long as nodes
    are numbered in that order, one ends where the next begins, and both are views of the same n + 1 bounds.
    """

    levels: tuple[Level, ...]
    item: Int[Tensor, " leaves"]
    place: Int[Tensor, " I"]
    span: tuple[Int[Tensor, "2 n"], ...]

    @classmethod
    def of(cls, table: SidTable, budget_megabytes: int, device: str) -> Trie:
        """Build from all items at once; where items share a leaf, its item is the first of them.

        Levels get a dense table from the root downwards while the tables together keep within the budget;
        wide and thin ones do without.
        """
        tokens = table.tokens.cpu().numpy()
        order, firsts = prefixes(tokens)
        parent = np.zeros(len(order), dtype=np.int64)
        levels: list[Level] = []
        span: list[Int[Tensor, "2 n"]] = []
        budget = budget_megabytes * MEGABYTE
        for column, starts in zip(tokens[order].T, firsts, strict=True):
            node = starts.cumsum() - 1
            level = _level(parent[starts], column[starts], budget, device)
            if isinstance(level, DenseLevel):
                budget -= level.nbytes
            levels.append(level)
            bounds = np.append(np.flatnonzero(starts), len(order)).astype(np.int32)
            span.append(torch.from_numpy(bounds).to(device).unfold(0, 2, 1).T)
            parent = node
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        item, places = (torch.from_numpy(array).to(device) for array in (order[starts], place))
        return cls(tuple(levels), item, places, tuple(span))


def _level(
    parent: Int[np.ndarray, " children"], token: Int[np.ndarray, " children"], budget: int, device: str
) -> Level:
    """One level from its nodes' parents and tokens, both sorted by parent, then token."""
    nodes = int(parent[-1]) + 1
    tokens, code = codes(token)
    fits = nodes * len(tokens) * 4 <= budget
    if fits and (len(tokens) <= WIDE or int(np.bincount(parent).max()) * THIN > len(tokens)):
        rows = Rows.empty(nodes, len(tokens), "cpu")
        dense = rows.table[:nodes].numpy()
        dense.fill(-1)
        dense[parent, code] = np.arange(len(token))
        if torch.device(device).type != "cpu":  # where room takes memory, it is made when it is needed
            rows = Rows(rows.table[:nodes].to(device), nodes)
        return DenseLevel(torch.from_numpy(tokens).to(device), rows, nodes)
    first = np.searchsorted(parent, np.arange(nodes + 1))
    return SparseLevel(
        torch.from_numpy(first).to(device), torch.from_numpy(token).to(device), int(np.diff(first).max())
    )


class OpenNodes:
    """The nodes of a trie below which an allowed item stands; asked of the nodes that a search meets.

    The items of a node follow each other, so how many of them a row's set names is a difference of two looks:
    into the places that are named, sorted, by binary search; or, of a set that is a good part of the
    catalogue, into a running count over all places, which takes less time to make than sorting them. Kept are
    E numbers a row, or I; and of a set that rows share as many once.
    """

    def __init__(self, trie: Trie, allowed: Allowed) -> None:
        self.trie, self.only = trie, allowed.only[:, None]
        count = len(trie.place)  # of places; itself it is none
        places = torch.where(allowed.items < 0, count, trie.place[allowed.items])
        self.named = _Counts.of(places, count)
        self.shared = [
            (one.rows, _Counts.of(trie.place[one.items.long()][None], count)) for one in allowed.shared
        ]

    def among(self, level: int, node: Int[Tensor, "B R w C"]) -> Bool[Tensor, "B R w C"]:
        """Which of these nodes of a level are open."""
        flat = node.flatten(1).long()
        start, end = (bound[flat] for bound in self.trie.span[level])
        named = self.named.between(start, end)
        there = end - start
        for rows, counts in self.shared:
            own = counts.between(start[rows].view(1, -1), end[rows].view(1, -1))
            there = there.index_copy(0, rows, own.view(len(rows), -1).to(there.dtype))
        return torch.where(self.only, named > 0, named < there).view(node.shape)


@dataclass(frozen=True)
class _Counts:
    """How many places of a set, one a row, come before others: `of_places`, sorted, or a running count."""

    of_places: Int[Tensor, "B n"]
    counted: bool

    @classmethod
    def of(cls, places: Int[Tensor, "B E"], count: int) -> _Counts:
        """Of places below `count`, which itself is none."""
        counted = places.shape[1] * SORTED_SHARE > count
        return cls(_running_count(places, count) if counted else _ascending(places, count), counted)

    def between(self, start: Int[Tensor, "B n"], end: Int[Tensor, "B n"]) -> Int[Tensor, "B n"]:
        """How many are from `start` up to `end`."""
        return self._before(end) - self._before(start)

    def _before(self, bound: Int[Tensor, "B n"]) -> Int[Tensor, "B n"]:
        if self.counted:
            return self.of_places.gather(1, bound.long())
        return torch.searchsorted(self.of_places, bound)


def _running_count(places: Int[Tensor, "B E"], count: int) -> Int[Tensor, "B bounds"]:
    """For each place, how many before it are named."""
    marks = torch.zeros(len(places), count + 2, dtype=torch.int32, device=places.device)
    marks.scatter_(1, places.long() + 1, 1)  # the last column is that of no place
    return marks.cumsum(1, dtype=torch.int32)[:, : count + 1]


def _ascending(places: Int[Tensor, "B E"], count: int) -> Int[Tensor, "B E"]:
    """The places that are named, each once; what is none comes last."""
    ordered = places.int().sort(1).values
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return ordered.masked_fill(again, count).sort(1).values
