"""The measure of validation, and which checkpoint is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lasar_kit.data.held_out import HeldOut
from lasar_kit.model.ranking import Ranking
from lasar_kit.model.recommender import Recommender
from lasar_kit.train import validation
from lasar_kit.train.validation import BestCheckpoint, answer_loss


def follow(
    monkeypatch: pytest.MonkeyPatch,
    found: list[tuple[int, int]],
    counts: Callable[[int], bool] = lambda update: True,
    **options: Any,
) -> tuple[BestCheckpoint, list[int]]:
    """Validations of two users, whose targets stand at the given rank after the given number of thoughts;
    and at which of them a checkpoint was written."""
    held_out = HeldOut(np.arange(2), [np.array([0])] * 2, np.array([7, 7]))
    best = BestCheckpoint(Path(), held_out, 10, 2, 2, "trie", **options)
    monkeypatch.setattr(validation, "answer_loss", lambda *_: 1.5)
    written: list[int] = []
    for update, (rank, depth) in enumerate(found):
        items = np.full((2, 10), 3)
        items[:, rank - 1] = 7
        ranking = Ranking(items, np.zeros((2, 10)), np.array([depth, depth]))
        monkeypatch.setattr(validation, "rank_users", lambda *_, ranking=ranking, users: ranking)
        recommender: Any = SimpleNamespace(
            prompts=SimpleNamespace(table=SimpleNamespace(shared=False)),
            save=lambda folder, update=update: written.append(update),
        )
        world: Any = SimpleNamespace(is_main_process=True, device="cpu")
        best.validate(recommender, world, update, counts(update))
    return best, written


def test_the_best_is_kept_and_patience_counts_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    best, written = follow(monkeypatch, [(3, 0), (1, 0), (2, 0), (1, 0)])
    assert written == [0, 1]
    assert best.best == 1
    assert best.best_update == 1
    assert best.out_of_patience
    assert [line["update"] for line in best.history] == [0, 1, 2, 3]
    assert "depth" not in best.history[0]
    assert best.history[0]["loss"] == 1.5


def test_the_last_is_kept_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    best, written = follow(monkeypatch, [(3, 0), (1, 0), (2, 0)], keep="last")
    assert written == [0, 1, 2]
    assert (best.best_update, best.kept_update, best.waited) == (1, 2, 1)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_validation_that_does_not_count_is_looked_at_alone(
    monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    """The first of all is better than any: it is in the history, and nowhere else."""
    best, written = follow(monkeypatch, [(1, 0), (3, 0), (2, 0)], counts=lambda update: update > 0, keep=keep)
    assert written == [1, 2]
    assert (best.best_update, best.kept_update, best.waited) == (2, 2, 0)
    assert best.best == pytest.approx(0.6309, abs=1e-4)
    assert [line["update"] for line in best.history] == [0, 1, 2]


def test_depth_is_told_and_counts_for_nothing_unless_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    best, written = follow(monkeypatch, [(2, 7), (2, 1), (3, 1)])
    assert written == [0]
    assert [line["depth"] for line in best.history] == [7, 1, 1]


@pytest.mark.parametrize(("cost", "expected"), [(0.02, [0]), (0.03, [0, 1])])
def test_fewer_thoughts_win_where_they_are_worth_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, cost: float, expected: list[int]
) -> None:
    """From rank 2 to rank 3 NDCG falls by 1/log2(3) - 1/2 = 0.131: five thoughts less save 0.1 or 0.15."""
    best, written = follow(monkeypatch, [(2, 6), (3, 1)], depth_cost=cost)
    assert written == expected
    assert best.best == pytest.approx(0.6309 if cost == 0.02 else 0.5, abs=1e-4)


@pytest.mark.parametrize("thinks", [False, True])
def test_the_evaluation_loss_is_what_an_exhaustive_search_says_of_the_targets(
    build: Callable[..., Recommender], thinks: bool
) -> None:
    """Fifty beams over thirty items: every item has its log-probability, of three tokens together."""
    recommender = build("minionerec", thinks=thinks).train()
    histories = [np.array([3]), np.array([7, 8, 1]), np.array([25, 1]), np.array([4, 4, 9, 2])]
    held_out = HeldOut(np.arange(4), histories, np.array([9, 0, 14, 29]))
    loss = answer_loss(recommender, held_out, "vocabulary", 3)
    assert recommender.training
    (beams,), depth, _ = recommender.eval().recommend(recommender.prompts.prompts(histories), 50)
    found = beams.items[:, 0] == torch.from_numpy(held_out.target)[:, None]
    assert found.sum(1).tolist() == [1, 1, 1, 1]
    assert bool(depth.any()) == thinks
    assert loss == pytest.approx(-float(beams.logp[:, 0][found].mean()) / 3, rel=1e-5)
