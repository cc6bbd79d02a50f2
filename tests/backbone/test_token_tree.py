"""Ancestors, masks and positions of token trees, against following parents one by one."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.token_tree import TokenTree, additive, chain_parents, chain_start, extend


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    """Parents of B rows of up to 12 tokens, often a padded chain first, often paths behind it; and where to
    cut the calls."""
    paths = draw(st.booleans())
    rows, nodes = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    chain = draw(st.integers(0, nodes))
    parents = []
    for _ in range(rows):
        pads = draw(st.integers(0, max(chain - 1, 0)))
        head = [-1 if node <= pads else node - 1 for node in range(chain)]
        anywhere = st.integers(-1, chain - 1)
        parents.append(
            head
            + [
                draw(st.just(node - 1) | anywhere if paths else st.integers(-1, node - 1))
                for node in range(chain, nodes)
            ]
        )
    cuts = draw(st.sets(st.integers(1, nodes)))
    return parents, sorted({*cuts, nodes, *([chain] if chain else [])})


def ancestors(parents: list[int], node: int) -> set[int]:
    """The node and all it descends from."""
    return {node} | (ancestors(parents, parents[node]) if parents[node] >= 0 else set())


@given(forests())
def test_every_token_sees_its_ancestors_and_itself(case: tuple[list[list[int]], list[int]]) -> None:
    parents, cuts = case
    tree, begin = None, 0
    for end in cuts:
        tree, seen, position = extend(tree, torch.tensor([row[begin:end] for row in parents]))
        if seen is None:
            seen = torch.ones(len(parents), end, end, dtype=torch.bool).tril()
        for b, row in enumerate(parents):
            for node in range(begin, end):
                expected = ancestors(row, node)
                assert set(seen[b, node - begin].nonzero().flatten().tolist()) == expected
                assert position[b, node - begin] == len(expected) - 1
        begin = end
        assert len(tree) == end


@given(forests())
def test_growing_leaves_the_tree_as_it_was(case: tuple[list[list[int]], list[int]]) -> None:
    parents, cuts = case
    first, _, _ = extend(None, torch.tensor([row[: cuts[0]] for row in parents]))
    before = [x.clone() for x in (first.start, first.anchor, first.ancestors)]
    leaf = torch.full((len(parents), 2), cuts[0] - 1)
    once, twice = first.grow(leaf), first.grow(leaf)
    assert torch.equal(once[1], twice[1])
    assert all(
        torch.equal(a, b) for a, b in zip(before, (first.start, first.anchor, first.ancestors), strict=True)
    )


def test_chain_is_recognised_only_where_every_row_is_one() -> None:
    assert torch.tensor([0, 2]).equal(chain_start(torch.tensor([[-1, 0, 1, 2], [-1, -1, -1, 2]])))
    assert chain_start(torch.tensor([[-1, 0, 0]])) is None
    assert chain_start(torch.tensor([[-1, 0, -1]])) is None
    assert chain_start(torch.tensor([[-1, 0, 1], [-1, -1, 0]])) is None


def test_chain_prefix_is_stored_without_ancestors() -> None:
    tree, seen, _ = extend(None, torch.arange(-1, 99).expand(2, -1))
    assert seen is None
    assert tree.prefix == 100
    assert tree.ancestors.numel() == 0
    grown, _ = tree.grow(torch.full((2, 3), 99))
    assert grown.ancestors.shape == (2, 3, 3)


def test_an_empty_tree_holds_nothing() -> None:
    tree = TokenTree.empty(2, torch.device("cpu"))
    assert len(tree) == 0
    assert torch.equal(tree.start, torch.tensor([0, 0]))
    assert tree.start.dtype == torch.int64


def test_chain_parents_of_left_padded_rows() -> None:
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]]).bool()
    assert chain_parents(real).tolist() == [[-1, -1, -1, 2], [-1, 0, 1, 2], [-1, -1, -1, -1]]


def test_a_token_hung_on_a_left_pad_sees_that_pad_alone() -> None:
    tree = TokenTree.chain(torch.tensor([2]), 4)
    _, seen = tree.grow(torch.tensor([[1]]))
    assert seen.tolist() == [[[False, True, False, False, True]]]


def test_additive_mask_is_finite_and_of_the_models_type() -> None:
    mask = additive(torch.tensor([[[True, False]]]), torch.bfloat16)
    assert mask.dtype == torch.bfloat16
    assert mask.shape == (1, 1, 1, 2)
    assert mask.flatten().tolist() == [0.0, torch.finfo(torch.bfloat16).min]
