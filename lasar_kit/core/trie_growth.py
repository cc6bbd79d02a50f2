"""A trie with more items than it was built from, without building it anew.

Nodes keep their numbers, new ones come behind; a row of a dense table that gets a child is written once more,
behind the others, so that a search on the trie of before reads what it did. Only the children of a level of
compressed rows are numbered as its rows stand, and these are opened where a node comes in. What is left to do
for the whole catalogue is a pass over flat arrays: where items stand in the order of SIDs. Shape letters as
in `lasar_kit.core.trie`, and k nodes that are new at a level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from lasar_kit.core.trie import DenseLevel, Level, Rows, SparseLevel, Trie


@dataclass(frozen=True)
class _Nodes:
    """The nodes of a level that n items, sorted by their SIDs, go through; what is new of them.

    Of each item: whether its node was `known`; `old`, the number that it had, or that of the old node before
    which it comes in; `node`, its number from now on; `begin` and `end`, which of the n items are below it;
    `place`, where the old items below it begin, or would. `head`: the first item of each new node, in the
    order of their numbers.
    """

    known: Bool[Tensor, " n"]
    old: Int[Tensor, " n"]
    node: Int[Tensor, " n"]
    begin: Int[Tensor, " n"]
    end: Int[Tensor, " n"]
    place: Int[Tensor, " n"]
    head: Int[Tensor, " k"]

    @property
    def before(self) -> Int[Tensor, " k"]:
        """The old node before which each new one comes in, or how many there are; ascending."""
        return self.old[self.head]


def grown(trie: Trie, rows: Int[Tensor, "n M"]) -> Trie | None:
    """The trie of its items and of n more, numbered behind them, each level as dense or as sparse as it is:
    it leads to the same items as `Trie.of` of them all, by the same candidates in the same order.

    None where a dense level has no column for a token, as no item had it there: such a trie is built anew.
    """
    if not len(rows):
        return trie
    device, count = trie.place.device, len(trie.place)
    order = torch.from_numpy(np.lexsort(rows.cpu().numpy().T[::-1])).to(device)
    rows = rows.to(device)[order]
    dense = [(m, level) for m, level in enumerate(trie.levels) if isinstance(level, DenseLevel)]
    if not all(bool(torch.isin(rows[:, m], level.tokens).all()) for m, level in dense):
        return None
    path = _descend(trie, rows)
    levels = tuple(
        _grown(level, above, new, rows[:, m])
        for m, (level, above, new) in enumerate(zip(trie.levels, path, path[1:], strict=False))
    )
    leaf = path[-1]
    after = torch.where(leaf.known, trie.span[-1][1][leaf.old * leaf.known].long(), leaf.place)
    shift = torch.zeros(count + 1, dtype=torch.int32, device=device)
    shift.index_add_(0, after, torch.ones_like(after, dtype=torch.int32))
    shift = shift.cumsum(0, dtype=torch.int32)
    own = torch.empty(len(rows), dtype=trie.place.dtype, device=device)
    own[order] = (after + torch.arange(len(rows), device=device)).to(own.dtype)
    place = torch.cat([trie.place + shift.index_select(0, trie.place), own])
    item = _inserted(trie.item, leaf.before, count + order[leaf.head])
    spans = tuple(_spans(span, new, shift) for span, new in zip(trie.span, path[1:], strict=True))
    return Trie(levels, item, place, spans)


def _descend(trie: Trie, rows: Int[Tensor, "n M"]) -> list[_Nodes]:
    """The nodes that the items go through, from the root."""
    zero = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    known, all_of_them = torch.ones_like(zero, dtype=torch.bool), torch.full_like(zero, len(rows))
    path = [_Nodes(known, zero, zero, zero, all_of_them, zero, zero[:0])]
    starts = known[:1].new_zeros(len(rows))
    starts[0] = True
    for m, (level, span) in enumerate(zip(trie.levels, trie.span, strict=True)):
        starts = starts.clone()
        starts[1:] |= rows[1:, m] != rows[:-1, m]
        path.append(_below(level, span, path[-1], rows[:, m].contiguous(), starts))
    return path


def _below(
    level: Level,
    span: Int[Tensor, "2 n"],
    above: _Nodes,
    token: Int[Tensor, " n"],
    starts: Bool[Tensor, " n"],
) -> _Nodes:
    """The nodes of a level, below those of the one above; `starts`: where the items of a node begin."""
    child = torch.where(above.known, _child(level, above.old * above.known, token), -1)
    known = child >= 0
    apart = (above.known & ~known).nonzero()[:, 0]
    smaller, sibling = _before(level, above.old[apart], token[apart])
    place = torch.where(known, span[0][child * known].long(), above.place)
    place[apart] = torch.where(smaller > 0, span[1][sibling].long(), place[apart])
    if isinstance(level, DenseLevel):
        gap = torch.full_like(child, span.shape[1])
    else:
        gap = level.first[above.old]
        gap[apart] += smaller
    old = torch.where(known, child, gap)
    head = (starts & ~known).nonzero()[:, 0]
    head = head[above.node[head].argsort(stable=True)]
    before = old[head]
    fresh = torch.zeros_like(old)
    fresh[head] = before + torch.arange(len(head), device=head.device)
    begins, group = starts.nonzero()[:, 0], starts.cumsum(0) - 1
    begin = begins[group]
    node = torch.where(known, old + torch.searchsorted(before, old, right=True), fresh[begin])
    end = torch.cat([begins[1:], begins.new_full((1,), len(token))])[group]
    return _Nodes(known, old, node, begin, end, place, head)


def _child(level: Level, node: Int[Tensor, " n"], token: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Each node's child with its token, -1 where there is none."""
    if isinstance(level, DenseLevel):
        return level.rows.table[level.row_of(node), torch.searchsorted(level.tokens, token)].long()
    child = level.children(node)
    index = level.taken(child, token)[:, None]
    found = child.gather(1, index)[:, 0]
    return torch.where(level.token_of[found.clamp_min(0)] == token, found, -1)


def _before(
    level: Level, node: Int[Tensor, " n"], token: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Of each node the last candidate with a smaller token than this: its number from 1, 0 where there is
    none, and which child it is."""
    child = level.children(node)
    spelled = level.tokens if isinstance(level, DenseLevel) else level.token_of[child.clamp_min(0)]
    number = torch.arange(1, child.shape[1] + 1, device=child.device)
    last = (((child >= 0) & (spelled < token[:, None])) * number).amax(1)
    return last, child.gather(1, (last - 1).clamp_min(0)[:, None])[:, 0].clamp_min(0).long()


def _grown(level: Level, above: _Nodes, new: _Nodes, token: Int[Tensor, " n"]) -> Level:
    """A level with new nodes, below a level with new nodes: all of these have new children."""
    if not len(new.head):
        return level
    parents, spelled = above.node[new.head], token[new.head]
    if isinstance(level, DenseLevel):
        return _with_children(level, above, new, parents, torch.searchsorted(level.tokens, spelled))
    size = _inserted(level.first.diff(), above.before, torch.zeros_like(above.before))
    size = size.index_add(0, parents, torch.ones_like(parents))
    first = torch.cat([size.new_zeros(1), size.cumsum(0)])
    widest = max(level.widest, int(size[parents].max()))
    return SparseLevel(first, _inserted(level.token_of, new.before, spelled), widest)


def _with_children(
    level: DenseLevel, above: _Nodes, new: _Nodes, parents: Int[Tensor, " k"], column: Int[Tensor, " k"]
) -> DenseLevel:
    """A dense level with children in these columns of these rows; the rows of before stay as they are."""
    row = level.row_of(torch.arange(level.nodes, device=parents.device))
    row = _inserted(row, above.before, torch.zeros_like(above.before)).clone()
    touched, slot = torch.unique(parents, return_inverse=True)
    known = torch.zeros_like(touched, dtype=torch.bool)
    known[slot] = above.known[new.head]
    block = torch.where(known[:, None], level.rows.table[row[touched]], -1)
    block[slot, column] = new.node[new.head].int()
    if not level.rows.fits(len(block)):
        rows = Rows.empty(len(row), block.shape[1], row.device)
        torch.index_select(level.rows.table, 0, row, out=rows.table[: len(row)])
        rows.table[touched] = block
        return DenseLevel(level.tokens, rows, len(row))
    start = level.rows.append(block)
    row[touched] = torch.arange(start, start + len(block), dtype=row.dtype, device=row.device)
    return DenseLevel(level.tokens, level.rows, len(row), row)


def _spans(span: Int[Tensor, "2 n"], new: _Nodes, shift: Int[Tensor, " bounds"]) -> Int[Tensor, "2 n"]:
    """Where the items below each node stand; `shift`: how many of the new come before each old place.

    Items that stand before a node stand before its first old item. Those of its own may, too.
    """
    moved = span.contiguous() + shift.index_select(0, span[0])
    bounds = torch.stack([new.begin, new.end]).to(span.dtype)
    known = new.known.nonzero()[:, 0]
    old = new.old[known]
    moved[:, old] = span[:, old] + bounds[:, known]
    own = new.place[new.head].to(span.dtype) + bounds[:, new.head]
    return _inserted(moved, new.before, own)


def _inserted(
    old: Shaped[Tensor, "*S n"], before: Int[Tensor, " k"], new: Shaped[Tensor, "*S k"]
) -> Shaped[Tensor, "*S m"]:
    """The old with the new among them, each before the old one of that number; `before` ascends."""
    if not len(before):
        return old
    new = new.to(old.dtype)
    if int(before[0]) == old.shape[-1]:
        return torch.cat([old, new], dim=-1)
    at = before + torch.arange(len(before), device=before.device)
    out = old.new_empty((*old.shape[:-1], old.shape[-1] + len(before)))
    left = torch.ones(out.shape[-1], dtype=torch.bool, device=old.device)
    left[at] = False
    out.masked_scatter_(left.expand_as(out), old)
    out[..., at] = new
    return out
