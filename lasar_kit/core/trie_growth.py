"""A trie with more items than it was built from, without building it anew.

Nodes of a level are numbered in the order of their prefixes, so what comes in shifts all that follow: a pass
over flat arrays, and no sorting of the catalogue. Shape letters as in `lasar_kit.core.trie`, and k nodes that
are new at a level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lasar_kit.core.trie import DenseLevel, Level, SparseLevel, Trie

_FEW = 8
"""New nodes that a table is compared with one by one, which takes less time than looking each number up."""


@dataclass(frozen=True)
class _New:
    """What is new at a level, of n items sorted by their SIDs.

    `before[j]`: how many of the old nodes come before the j-th new one, whose first item is `first[j]` of the
    n. `node`: each item's node as it is numbered from now on.
    """

    before: Int[Tensor, " k"]
    first: Int[Tensor, " k"]
    node: Int[Tensor, " n"]

    @property
    def numbers(self) -> Int[Tensor, " k"]:
        """Of the new nodes."""
        return self.before + torch.arange(len(self.before), device=self.before.device)


def grown(trie: Trie, rows: Int[Tensor, "n M"]) -> Trie | None:
    """The trie of its items and of n more, numbered behind them: what `Trie.of` makes of them all, each level
    as dense or as sparse as it is.

    None where a dense level has no column for a token, as no item had it there: such a trie is built anew.
    """
    if not len(rows):
        return trie
    device = trie.place.device
    order = torch.from_numpy(np.lexsort(rows.cpu().numpy().T[::-1])).to(device)
    rows = rows.to(device)[order]
    known_columns = [
        bool((level.tokens == rows[:, m, None]).any(1).all())
        for m, level in enumerate(trie.levels)
        if isinstance(level, DenseLevel)
    ]
    if not all(known_columns):
        return None
    news, places = _descend(trie, rows)
    nothing = torch.zeros(0, dtype=torch.int64, device=device)
    above = [_New(nothing, nothing, torch.zeros(len(rows), dtype=torch.int64, device=device)), *news]
    levels = tuple(_level(level, above[m], above[m + 1], rows[:, m]) for m, level in enumerate(trie.levels))
    first = tuple(_bounds(old, new) for old, new in zip(trie.first, news, strict=True))
    count = len(trie.place)
    own = torch.empty(len(rows), dtype=trie.place.dtype, device=device)
    own[order] = (places + torch.arange(len(rows), device=device)).to(own.dtype)
    item = _inserted(trie.item, news[-1].before, count + order[news[-1].first])
    return Trie(levels, item, torch.cat([_shifted(places, count)[trie.place].to(own.dtype), own]), first)


def _descend(trie: Trie, rows: Int[Tensor, "n M"]) -> tuple[list[_New], Int[Tensor, " n"]]:
    """What is new at each level, and before which place of the old items each item goes."""
    node = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    known = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    place = torch.zeros_like(node)
    """Where the items below an item's node begin, or would."""
    changes = torch.zeros(max(len(rows) - 1, 0), dtype=torch.bool, device=rows.device)
    news = []
    for m, (level, bounds) in enumerate(zip(trie.levels, trie.first, strict=True)):
        begin = torch.searchsorted(bounds, place.to(bounds.dtype))
        smaller, same = _among_children(level, torch.where(known, node, 0), rows[:, m])
        node = torch.where(known, begin + smaller, begin)
        known = known & same
        place = bounds[node].long()
        changes = changes | (rows[1:, m] != rows[:-1, m])
        starts = ~known & torch.cat([known.new_ones(1), changes])
        first = starts.nonzero()[:, 0]
        before = node[first]
        fresh = before + torch.arange(len(before), device=node.device)
        numbers = torch.where(
            known,
            node + torch.searchsorted(before, node, right=True),
            torch.cat([fresh, fresh.new_zeros(1)])[starts.cumsum(0) - 1],
        )
        news.append(_New(before, first, numbers))
    ends = trie.first[-1][(node + 1).clamp_max(len(trie.first[-1]) - 1)].long()
    return news, torch.where(known, ends, place)


def _among_children(
    level: Level, node: Int[Tensor, " n"], token: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """How many of a node's children have smaller tokens, and whether one has this one."""
    child = level.children(node)
    spelled = level.tokens if isinstance(level, DenseLevel) else level.token_of[child.clamp_min(0)]
    there = child >= 0
    return (there & (spelled < token[:, None])).sum(1), (there & (spelled == token[:, None])).any(1)


def _level(level: Level, above: _New, new: _New, token: Int[Tensor, " n"]) -> Level:
    """A level with new nodes, below a level with new nodes."""
    parents, spelled = above.node[new.first], token[new.first]
    if isinstance(level, SparseLevel):
        counts = _inserted(level.first.diff(), above.before, torch.zeros_like(above.before))
        counts = counts.index_add(0, parents, torch.ones_like(parents))
        first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return SparseLevel(first, _inserted(level.token_of, new.before, spelled), int(counts.max()))
    table = level.table
    if len(new.before):
        table = _renumbered(table, new.before)
    if len(above.before):
        table = _inserted(table, above.before, table.new_full((len(above.before), table.shape[1]), -1))
    if len(new.before):
        table[parents, torch.searchsorted(level.tokens, spelled)] = new.numbers.to(table.dtype)
    return DenseLevel(level.tokens, table)


def _renumbered(table: Int[Tensor, "n K"], before: Int[Tensor, " k"]) -> Int[Tensor, "n K"]:
    """A dense table with the numbers that its old nodes have from now on; -1 stays."""
    if len(before) > _FEW:
        return table + torch.searchsorted(before.int(), table, right=True, out_int32=True)
    moved = table.clone()
    for number in before:
        moved += table >= number
    return moved


def _bounds(old: Int[Tensor, " bounds"], new: _New) -> Int[Tensor, " bounds"]:
    """Where the items below each node begin."""
    counts = _inserted(old.diff(), new.before, torch.zeros_like(new.before))
    counts = counts.index_add(0, new.node, torch.ones_like(new.node, dtype=counts.dtype))
    return torch.cat([counts.new_zeros(1), counts.cumsum(0, dtype=counts.dtype)])


def _shifted(before: Int[Tensor, " k"], count: int) -> Int[Tensor, " count"]:
    """The numbers of `count` old things once new ones have come in before some."""
    marks = torch.zeros(count + 1, dtype=torch.int64, device=before.device)
    marks.index_add_(0, before, torch.ones_like(before))
    return torch.arange(count, device=before.device) + marks.cumsum(0)[:count]


def _inserted(old: Int[Tensor, "n ..."], before: Int[Tensor, " k"], new: Int[Tensor, "k ..."]) -> Tensor:
    """The old with the new among them, each before the old one of that number."""
    if not len(before):
        return old
    out = old.new_empty((len(old) + len(before), *old.shape[1:]))
    out[_shifted(before, len(old))] = old
    out[before + torch.arange(len(before), device=before.device)] = new.to(old.dtype)
    return out
