"""Children of trie nodes against sets of prefixes."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.prefixes import codes, prefixes
from lasar_kit.core.trie import DenseLevel, SparseLevel, Trie, candidates
from lasar_kit.core.values import SidTable

BUDGETS = pytest.mark.parametrize("budget", [0, 256])


@st.composite
def tables(draw: st.DrawFn) -> list[list[int]]:
    """Up to 20 items of equal length, tokens of a level drawn from few and unordered ids."""
    levels = draw(st.integers(1, 4))
    alphabet = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True))
    row = st.lists(st.sampled_from(alphabet), min_size=levels, max_size=levels)
    return draw(st.lists(row, min_size=1, max_size=20))


@BUDGETS
@given(table=tables())
def test_children_are_the_continuations_of_a_prefix(budget: int, table: list[list[int]]) -> None:
    trie = Trie.of(SidTable(torch.tensor(table)), budget, "cpu")
    logits = torch.arange(31.0)  # a token's logit is its id
    nodes = {0: ()}
    for depth, level in enumerate(trie.levels):
        assert isinstance(level, DenseLevel if budget else SparseLevel)
        following = {}
        for node, prefix in nodes.items():
            child, allowed, picked = candidates(level, torch.tensor([node]), logits[None])
            assert child.shape == allowed.shape == picked.shape
            tokens = picked[allowed].long().tolist()
            assert tokens == sorted({row[depth] for row in table if tuple(row[:depth]) == prefix})
            index = allowed[0].nonzero().flatten()
            assert level.token(child[0, index].long(), index).tolist() == tokens
            following |= {int(c): (*prefix, t) for c, t in zip(child[allowed], tokens, strict=True)}
        assert sorted(following) == list(range(len(following)))
        nodes = following
    assert {node: trie.item[node].item() for node in nodes} == {
        node: table.index(list(prefix)) for node, prefix in nodes.items()
    }


@BUDGETS
@given(table=tables(), data=st.data())
def test_a_candidate_is_found_by_its_token(budget: int, table: list[list[int]], data: st.DataObject) -> None:
    """Six items, spelled token by token from the root, in two dimensions."""
    trie = Trie.of(SidTable(torch.tensor(table)), budget, "cpu")
    rows = data.draw(st.lists(st.sampled_from(table), min_size=6, max_size=6))
    node = torch.zeros(3, 2, dtype=torch.int64)
    for depth, level in enumerate(trie.levels):
        token = torch.tensor([row[depth] for row in rows]).view(3, 2)
        child = level.children(node)
        index = level.taken(child, token)
        node = child.gather(-1, index[..., None])[..., 0].long()
        assert (node >= 0).all()
    assert trie.item[node].flatten().tolist() == [table.index(row) for row in rows]


def test_dense_tables_stop_at_the_budget() -> None:
    codes = torch.randint(0, 256, (4000, 4), generator=torch.Generator().manual_seed(0))
    kinds = {
        mb: [type(level) for level in Trie.of(SidTable(codes), mb, "cpu").levels] for mb in (0, 1, 5, 256)
    }
    assert kinds[0] == [SparseLevel] * 4
    assert kinds[1] == [DenseLevel] * 2 + [SparseLevel] * 2
    assert kinds[5] == [DenseLevel] * 3 + [SparseLevel]
    assert kinds[256] == [DenseLevel] * 4
    within = Trie.of(SidTable(codes), 5, "cpu").levels[:3]
    assert sum(level.nbytes for level in within if isinstance(level, DenseLevel)) <= 5 * 2**20


def test_a_narrow_level_with_a_table_counts_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes longer than the rest of it."""

    def counted(*_: object) -> NoReturn:
        raise AssertionError("children are counted")

    table = SidTable(torch.tensor([[0, 3], [1, 4], [1, 5]]))
    for name in ("searchsorted", "bincount"):
        monkeypatch.setattr(np, name, counted)
    assert {type(level) for level in Trie.of(table, 1, "cpu").levels} == {DenseLevel}
    with pytest.raises(AssertionError):
        Trie.of(table, 0, "cpu")


@pytest.mark.parametrize(("tokens", "kind"), [(1024, DenseLevel), (1025, SparseLevel)])
def test_a_wide_level_of_few_children_a_node_gets_no_table(tokens: int, kind: type) -> None:
    """Items of a token of their own behind one of eight clusters; alone at the root, any number is dense."""
    own = torch.arange(tokens)
    clustered = torch.stack([own % 8, own], dim=1)
    assert [type(level) for level in Trie.of(SidTable(clustered), 256, "cpu").levels] == [DenseLevel, kind]
    assert [type(level) for level in Trie.of(SidTable(own[:, None]), 256, "cpu").levels] == [DenseLevel]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 5, 2**16 - 1, 2**16, 2**40])), min_size=1))
def test_items_are_sorted_by_tokens_of_any_width(rows: list[tuple[int, int]]) -> None:
    """Equal ones as they were; a prefix begins where another one ends."""
    order, firsts = prefixes(np.array(rows))
    assert order.tolist() == sorted(range(len(rows)), key=lambda row: rows[row])
    for length, starts in enumerate(firsts, start=1):
        found = [rows[row][:length] for row in order]
        assert starts.tolist() == [
            place == 0 or found[place - 1] != found[place] for place in range(len(rows))
        ]


@given(st.lists(st.integers(0, 40), min_size=1))
def test_codes_are_ranks_of_tokens(tokens: list[int]) -> None:
    known, code = codes(np.array(tokens))
    assert known.tolist() == sorted(set(tokens))
    assert known[code].tolist() == tokens
