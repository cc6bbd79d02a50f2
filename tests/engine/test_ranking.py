"""Ranked lists: order of users, history left out, items that share a SID."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lasar_kit import metrics
from lasar_kit.core.values import SidTable
from lasar_kit.engine.ranking import Ranking, rank_users, target_ranks, with_sharers, without_history
from lasar_kit.engine.recommender import Recommender

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


def test_history_is_left_out_and_the_rest_moves_up() -> None:
    left = without_history(ranking([[4, 2, 7, 1], [3, 5, -1, -1]]), [np.array([2, 1]), np.array([9])])
    assert left.items.tolist() == [[4, 7, -1, -1], [3, 5, -1, -1]]
    assert left.scores.tolist() == [[0, -2, NONE, NONE], [0, -1, NONE, NONE]]


def test_sharers_stand_in_place_of_their_leaf_and_split_the_hit() -> None:
    """Items 1, 3 and 4 share a SID. The list 0, {1, 3, 4} holds target 3 at rank 2, 3 or 4."""
    table = SidTable(torch.tensor([[0, 0], [0, 1], [1, 0], [0, 1], [0, 1]]))
    full = with_sharers(ranking([[0, 1, 2, -1]]), table)
    assert full.items.tolist() == [[0, 1, 3, 4]]
    assert full.scores.tolist() == [[0, -1, -1, -1]]
    rank, ties = target_ranks(full.items, np.array([3]), table)
    assert (rank.tolist(), ties.tolist()) == ([2], [3])
    assert metrics.per_user(rank, ties, cutoffs=(3,))["hr@3"].tolist() == [pytest.approx(2 / 3)]


def test_a_shared_sid_is_no_hit_when_the_item_itself_is_not_listed() -> None:
    table = SidTable(torch.tensor([[0, 0], [0, 1], [1, 0], [0, 1]]))
    rank, ties = target_ranks(np.array([[0, 1, 2]]), np.array([3]), table)
    assert (rank.tolist(), ties.tolist()) == ([0], [1])


def test_without_sharing_ranks_are_plain() -> None:
    table = SidTable(torch.arange(6).view(6, 1))
    rank, ties = target_ranks(np.array([[5, 2], [1, -1]]), np.array([2, 0]), table)
    assert (rank.tolist(), ties.tolist()) == ([2, 0], [1, 1])
    assert with_sharers(ranking([[5, 2]]), table).items.tolist() == [[5, 2]]
