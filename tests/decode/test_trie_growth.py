"""A trie that has grown is the one that is built from all items."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.trie import DenseLevel, Trie
from lasar_kit.core.trie_growth import grown
from lasar_kit.core.values import SidTable


def alike(one: Trie, other: Trie) -> None:
    assert torch.equal(one.item, other.item)
    assert torch.equal(one.place, other.place)
    assert one.place.dtype == other.place.dtype
    for mine, theirs in zip(one.first, other.first, strict=True):
        assert torch.equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    for level, built in zip(one.levels, other.levels, strict=True):
        assert type(level) is type(built)
        for name, value in vars(built).items():
            own = getattr(level, name)
            assert torch.equal(own, value) if isinstance(value, torch.Tensor) else own == value, name
            assert not isinstance(value, torch.Tensor) or own.dtype == value.dtype, name


@st.composite
def catalogues(draw: st.DrawFn) -> list[list[int]]:
    levels = draw(st.integers(1, 4))
    row = st.lists(st.integers(3, 6), min_size=levels, max_size=levels)
    return draw(st.lists(row, min_size=2, max_size=24))


@given(table=catalogues(), data=st.data(), budget=st.sampled_from([0, 256]))
def test_grown_is_built(table: list[list[int]], data: st.DataObject, budget: int) -> None:
    """In steps of any size; items that share a SID included."""
    rows = torch.tensor(table)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(table) - 1), min_size=1, max_size=3)))
    trie = Trie.of(SidTable(rows[: cuts[0]]), budget, "cpu")
    for start, end in zip(cuts, [*cuts[1:], len(rows)], strict=True):
        more = grown(trie, rows[start:end])
        if more is None:
            had, dense = rows[:start], isinstance(trie.levels[0], DenseLevel)
            assert dense
            new = [set(rows[start:end, m].tolist()) - set(had[:, m].tolist()) for m in range(rows.shape[1])]
            assert any(new)
            more = Trie.of(SidTable(rows[:end]), budget, "cpu")
        trie = more
    alike(trie, Trie.of(SidTable(rows), budget, "cpu"))


def test_dense_levels_above_sparse_ones() -> None:
    rows = torch.randint(0, 64, (6000, 4), generator=torch.Generator().manual_seed(1))
    trie = grown(Trie.of(SidTable(rows[:4000]), 1, "cpu"), rows[4000:])
    assert trie is not None
    kinds = [isinstance(level, DenseLevel) for level in trie.levels]
    assert kinds == [True, True, True, False]
    built = Trie.of(SidTable(rows), 1, "cpu")
    alike(trie, built)


@given(table=catalogues(), data=st.data())
def test_a_table_that_has_grown_knows_whether_items_share(
    table: list[list[int]], data: st.DataObject
) -> None:
    rows = torch.tensor(table)
    cut = data.draw(st.integers(1, len(table)))
    first = SidTable(rows[:cut])
    if data.draw(st.booleans()):
        assert first.shared == (len({tuple(row) for row in table[:cut]}) < cut)
    whole = first.grown(rows[cut:])
    assert torch.equal(whole.tokens, rows)
    assert whole.shared == (len({tuple(row) for row in table}) < len(table))
