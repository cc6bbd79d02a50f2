"""Ranked lists: order of users, history left out, items that share a SID."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lasar_kit.core import metrics
from lasar_kit.core.values import Beams, SidTable
from lasar_kit.model.ranking import (
    Ranking,
    batches_of_users,
    rank_users,
    target_ranks,
    whole_lists,
    without,
)
from lasar_kit.model.recommender import Recommender

NONE = -np.inf


def ranking(items: list[list[int]]) -> Ranking:
    rows = np.array(items)
    scores = np.where(rows < 0, NONE, -np.arange(rows.shape[1], dtype=float))
    return Ranking(rows, scores, np.zeros(len(rows), dtype=int))


def test_users_come_back_in_their_own_order_whatever_the_batches(build: Callable[..., Recommender]) -> None:
    recommender = build()
    rng = np.random.default_rng(1)
    histories = [rng.integers(0, 30, size) for size in (5, 1, 3, 6, 2, 1, 4)]
    done: list[int] = []
    together = rank_users(recommender, histories, 10, 3, Accelerator(), done.append)
    assert sum(done) == 7
    for user, history in enumerate(histories):
        alone = rank_users(recommender, [history], 10, 1, Accelerator())
        assert together.items[user].tolist() == alone.items[0].tolist()
        assert together.scores[user] == pytest.approx(alone.scores[0], abs=1e-4)


def test_batches_are_cut_from_the_users_by_length_then_order() -> None:
    lengths = np.random.default_rng(4).integers(1, 4, 300)
    batches = batches_of_users([np.zeros(length) for length in lengths], 70)
    assert [len(batch) for batch in batches] == [70, 70, 70, 70, 20]
    assert np.concatenate(batches).tolist() == sorted(range(300), key=lambda user: lengths[user])


def test_history_is_left_out_and_the_rest_moves_up() -> None:
    lists = replace(ranking([[4, 2, 7, 1], [3, 5, -1, -1]]), depth=np.array([2, 5]))
    table = SidTable(torch.arange(10)[:, None])
    left = whole_lists(lists, table, without([np.array([2, 1]), np.array([9])]))
    assert left.items.tolist() == [[4, 7, -1, -1], [3, 5, -1, -1]]
    assert left.scores.tolist() == [[0, -2, NONE, NONE], [0, -1, NONE, NONE]]
    assert left.depth.tolist() == [2, 5]


def test_long_lists_keep_their_order() -> None:
    """As filtered by hand; sorting by what is left out alone would mix lists of more than a few items."""
    rng = np.random.default_rng(2)
    lists = ranking([rng.permutation(300).tolist() for _ in range(5)])
    histories = [rng.permutation(300)[:count] for count in (0, 1, 40, 150, 299)]
    left = whole_lists(lists, SidTable(torch.arange(300)[:, None]), without(histories))
    for row, items, history in zip(left.items, lists.items, histories, strict=True):
        kept = [item for item in items if item not in history]
        assert row.tolist() == kept + [-1] * len(history)


def test_sharers_stand_in_place_of_their_leaf_and_split_the_hit() -> None:
    """Items 1, 3 and 4 share a SID. The list 0, {1, 3, 4} holds target 3 at rank 2, 3 or 4."""
    table = SidTable(torch.tensor([[0, 0], [0, 1], [1, 0], [0, 1], [0, 1]]))
    full = whole_lists(ranking([[0, 1, 2, -1]]), table)
    assert full.items.tolist() == [[0, 1, 3, 4]]
    assert full.scores.tolist() == [[0, -1, -1, -1]]
    rank, ties = target_ranks(full.items, np.array([3]), table)
    assert (rank.tolist(), ties.tolist()) == ([2], [3])
    assert metrics.per_user(rank, ties, cutoffs=(3,))["hr@3"].tolist() == [pytest.approx(2 / 3)]


def test_sharers_of_short_lists() -> None:
    """Items 0 and 2 share a SID; nobody lists item 3."""
    table = SidTable(torch.tensor([[0], [1], [0], [2]]))
    lists = replace(ranking([[1, 0, -1, -1], [-1, -1, -1, -1], [0, -1, -1, -1]]), depth=np.array([1, 0, 3]))
    full = whole_lists(lists, table)
    assert full.items.tolist() == [[1, 0, 2, -1], [-1] * 4, [0, 2, -1, -1]]
    assert full.scores.tolist() == [[0, -1, -1, NONE], [NONE] * 4, [0, 0, NONE, NONE]]
    assert full.depth.tolist() == [1, 0, 3]
    rank, ties = target_ranks(full.items, np.array([2, 1, 0]), table)
    assert (rank.tolist(), ties.tolist()) == ([2, 0, 1], [2, 1, 2])


def test_an_empty_place_shares_no_sid() -> None:
    """-1 would read the last item of the table, whose SID the target has."""
    table = SidTable(torch.tensor([[0], [1], [0]]))
    rank, ties = target_ranks(np.array([[1, 2, -1]]), np.array([2]), table)
    assert (rank.tolist(), ties.tolist()) == ([2], [1])


def test_all_items_of_a_sid_are_found_in_order() -> None:
    """Among many: sorting by SID alone would mix them."""
    codes = np.random.default_rng(3).integers(0, 3, 300)
    table = SidTable(torch.from_numpy(codes)[:, None])
    for item in range(6):
        assert table.items_like(item).tolist() == [i for i in range(300) if codes[i] == codes[item]]


def test_beams_end_where_there_is_no_item() -> None:
    assert Beams(torch.tensor([[[3, 0, -1]]]), torch.zeros(1, 1, 3)).valid.tolist() == [[[True, True, False]]]


def test_whether_items_share_a_sid() -> None:
    assert not SidTable(torch.tensor([[0, 0], [0, 1], [1, 0]])).shared
    assert SidTable(torch.tensor([[0, 0], [0, 1], [1, 0], [0, 1]])).shared


def test_the_items_of_a_sid_are_a_slice_of_one_sorted_table() -> None:
    """No search a listed item: all answers are views of the same storage."""
    tokens = torch.randint(0, 3, (40, 2), generator=torch.Generator().manual_seed(4))
    table = SidTable(tokens)
    for item in range(40):
        expected = [other for other in range(40) if tokens[other].tolist() == tokens[item].tolist()]
        assert table.items_like(item).tolist() == expected
    storage = {table.items_like(item).untyped_storage().data_ptr() for item in range(40)}
    assert len(storage) == 1


def test_a_shared_sid_is_no_hit_when_the_item_itself_is_not_listed() -> None:
    table = SidTable(torch.tensor([[0, 0], [0, 1], [1, 0], [0, 1]]))
    rank, ties = target_ranks(np.array([[0, 1, 2]]), np.array([3]), table)
    assert (rank.tolist(), ties.tolist()) == ([0], [1])


def test_without_sharing_ranks_are_plain() -> None:
    table = SidTable(torch.arange(6).view(6, 1))
    rank, ties = target_ranks(np.array([[5, 2], [1, -1]]), np.array([2, 0]), table)
    assert (rank.tolist(), ties.tolist()) == ([2, 0], [1, 1])
    bare = target_ranks(np.array([[5, 2], [1, -1]]), np.array([2, 0]))
    assert [part.tolist() for part in bare] == [[2, 0], [1, 1]]
    assert whole_lists(ranking([[5, 2]]), table).items.tolist() == [[5, 2]]
