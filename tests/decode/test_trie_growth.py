"""A trie that has grown is the one that is built from all items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core import trie as trie_module
from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.core.trie import DenseLevel, SparseLevel, Trie
from lasar_kit.core.trie_growth import grown
from lasar_kit.core.values import Env, SidTable
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam


def alike(one: Trie, other: Trie) -> None:
    """The same items at the same places by the same candidates; only numbers of nodes may differ."""
    assert torch.equal(one.place, other.place)
    assert one.place.dtype == other.place.dtype
    mine, theirs = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for depth, (level, built) in enumerate(zip(one.levels, other.levels, strict=True)):
        assert type(level) is type(built)
        if isinstance(level, SparseLevel) and isinstance(built, SparseLevel):
            assert level.widest == built.widest
            assert level.token_of.dtype == built.token_of.dtype
        child, model = level.children(mine), built.children(theirs)
        assert child.dtype == model.dtype
        assert torch.equal(child >= 0, model >= 0)
        _, candidate = there = (model >= 0).nonzero(as_tuple=True)
        mine, theirs = child[there].long(), model[there].long()
        assert torch.equal(level.token(mine, candidate), built.token(theirs, candidate))
        assert torch.equal(one.span[depth][:, mine], other.span[depth][:, theirs])
        assert one.span[depth].shape == other.span[depth].shape
        assert one.span[depth].dtype == other.span[depth].dtype
    assert torch.equal(one.item[mine], other.item[theirs])
    assert one.item.shape == other.item.shape


@st.composite
def catalogues(draw: st.DrawFn) -> list[list[int]]:
    levels = draw(st.integers(1, 4))
    row = st.lists(st.integers(3, 6), min_size=levels, max_size=levels)
    return draw(st.lists(row, min_size=2, max_size=24))


@given(table=catalogues(), data=st.data(), budget=st.sampled_from([0, 256]))
def test_grown_is_built(table: list[list[int]], data: st.DataObject, budget: int) -> None:
    """In steps of any size; items that share a SID included. What was there before stays as it was."""
    rows = torch.tensor(table)
    before = []
    cuts = sorted(data.draw(st.sets(st.integers(1, len(table) - 1), min_size=1, max_size=3)))
    trie = Trie.of(SidTable(rows[: cuts[0]]), budget, "cpu")
    for start, end in zip(cuts, [*cuts[1:], len(rows)], strict=True):
        before.append((start, trie))
        more = grown(trie, rows[start:end])
        if more is None:
            had, dense = rows[:start], isinstance(trie.levels[0], DenseLevel)
            assert dense
            new = [set(rows[start:end, m].tolist()) - set(had[:, m].tolist()) for m in range(rows.shape[1])]
            assert any(new)
            more = Trie.of(SidTable(rows[:end]), budget, "cpu")
        trie = more
    for count, one in [*before, (len(rows), trie)]:
        alike(one, Trie.of(SidTable(rows[:count]), budget, "cpu"))


def test_dense_levels_above_sparse_ones() -> None:
    rows = torch.randint(0, 64, (6000, 4), generator=torch.Generator().manual_seed(1))
    trie = grown(Trie.of(SidTable(rows[:4000]), 1, "cpu"), rows[4000:])
    assert trie is not None
    kinds = [isinstance(level, DenseLevel) for level in trie.levels]
    assert kinds == [True, True, True, False]
    alike(trie, Trie.of(SidTable(rows), 1, "cpu"))


def test_sparse_levels_above_a_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last level has two tokens, so that a table of it is small; rows come in among its own."""
    monkeypatch.setattr(trie_module, "MEGABYTE", 2**16)
    draw = torch.Generator().manual_seed(2)
    rows = torch.cat(
        [torch.randint(0, 200, (2000, 2), generator=draw), torch.randint(0, 2, (2000, 1), generator=draw)], 1
    )
    trie: Trie | None = Trie.of(SidTable(rows[:1500]), 1, "cpu")
    for start in range(1500, 2000, 100):
        assert trie is not None
        trie = grown(trie, rows[start : start + 100])
    assert trie is not None
    assert [isinstance(level, DenseLevel) for level in trie.levels] == [True, False, True]
    alike(trie, Trie.of(SidTable(rows), 1, "cpu"))


def test_a_trie_without_newcomers_has_nothing_for_them() -> None:
    """Nor once there is one that has: rows stand at their nodes' numbers, bounds of a level are one array."""
    rows = torch.randint(0, 8, (300, 3), generator=torch.Generator().manual_seed(5))
    built = Trie.of(SidTable(rows[:200]), 1, "cpu")
    assert grown(built, rows[200:]) is not None
    for level, span in zip(built.levels, built.span, strict=True):
        assert isinstance(level, DenseLevel)
        assert level.row is None
        assert span.untyped_storage().nbytes() == 4 * (span.shape[1] + 1)
        node = torch.arange(level.nodes)
        assert torch.equal(level.children(node), level.rows.table[: level.nodes])


def test_a_table_without_room_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it holds no row twice, each row stands at its node's number, and there is room again; until then
    rows stay where they are."""
    monkeypatch.setattr(trie_module, "SPARE", 0)
    rows = torch.randint(0, 8, (300, 3), generator=torch.Generator().manual_seed(4))
    trie: Trie | None = Trie.of(SidTable(rows[:200]), 1, "cpu")
    assert trie is not None
    built = trie.levels[2]
    assert isinstance(built, DenseLevel)
    tables = [built.rows]
    for place in range(200, 300):
        assert trie is not None
        trie = grown(trie, rows[place : place + 1])
        assert trie is not None
        level = trie.levels[2]
        assert isinstance(level, DenseLevel)
        if level.rows is not tables[-1]:
            tables.append(level.rows)
            assert level.row is None
        assert level.rows.used <= len(level.rows.table) <= 2 * level.nodes
    assert 2 < len(tables) < 40
    alike(trie, Trie.of(SidTable(rows), 1, "cpu"))


@settings(max_examples=20)
@given(data=st.data(), budget=st.sampled_from([0, 256]), score=st.sampled_from(["vocabulary", "trie"]))
def test_a_search_finds_what_it_finds_in_a_trie_built_anew(
    path_model: Any, data: st.DataObject, budget: int, score: str
) -> None:
    """Items come and go, in any order; lists of any width and under any constraint are the same, bit for
    bit, in the same order where scores are equal, as many are: logits are rounded."""
    rows = torch.tensor(data.draw(catalogues()))
    model = path_model(8)
    logits = model.logits
    model.logits = lambda hidden, tokens=None: logits(hidden, tokens).round()
    trace = model.trace([[3, 1], [2, 5]], [[1, 0], [1, 1]])
    config = TrieBeamConfig.model_validate({"use": "trie_beam", "score": score, "table_megabytes": budget})
    live = TrieBeam(config, Env())
    cuts = sorted({1, len(rows), *data.draw(st.sets(st.integers(1, len(rows)), max_size=4))})
    live.bind(SidTable(rows[: cuts[0]]))
    for count in cuts[1:]:
        live.extend(SidTable(rows[:count]))
        built = TrieBeam(config, Env())
        built.bind(SidTable(rows[:count]))
        named = st.lists(st.integers(0, count - 1), max_size=count)
        gone, only = (np.array(data.draw(named), dtype=np.int64) for _ in range(2))
        shared = np.setdiff1d(np.arange(count), gone)
        for limits in ([Limit(gone), Limit(only, only=True)], [Limit.within(shared, only), Limit(only)]):
            width, allowed = data.draw(st.integers(1, count + 2)), Allowed.of(limits)
            both = [
                (one.search(model, trace, width), one.search_among(model, trace, width, allowed))
                for one in (live, built)
            ]
            for found, wanted in zip(*both, strict=True):
                assert torch.equal(found.items, wanted.items)
                assert torch.equal(found.logp, wanted.logp)


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
