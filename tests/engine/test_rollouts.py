"""Rollouts are those of the global batch, however it is shared out among processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.depth import depth_at
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.groups import varied
from lasar_kit.core.samples import Window
from lasar_kit.core.values import Env, Judged, Prompt
from lasar_kit.data.held_out import HeldOut
from lasar_kit.model.ranking import batches_of_users
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.evaluate.config import EvaluateConfig
from lasar_kit.stages.evaluate.stage import EvaluateStage
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.stage import _RlTraining
from lasar_kit.stages.rl.step import Group
from lasar_kit.testing.strategies import prompt_of

HISTORIES = [[3, 9], [7], [8, 11, 2, 29], [1, 1], [20, 21, 22], [4], [13, 5]]
TARGETS = [5, 6, 7, 8, 9, 10, 11]
DECODERS: dict[str, dict[str, Any]] = {
    "beam": {"use": "trie_beam", "score": "trie"},
    "sample": {"use": "trie_sample", "replacement": True},
    "gumbel": {"use": "trie_sample", "replacement": False},
}


@given(st.integers(1, 9), st.integers(1, 4))
def test_shares_are_the_batch_in_order_and_their_weights_sum_to_one(count: int, processes: int) -> None:
    shares = [Share.of(0, count, process, processes) for process in range(processes)]
    assert [row for share in shares for row in share.rows] == list(range(count))
    assert sum(share.weight for share in shares) == pytest.approx(1)
    sizes = [len(share.rows) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(list(share.made) == (share.rows or [0]) for share in shares)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_draws_belong_to_rows(rows: list[int]) -> None:
    """Any choice of rows sees what these rows see in the whole batch, call after call."""
    whole, some = RowDraws("depth 0 3", range(6), 6), RowDraws("depth 0 3", rows, 6)
    for shape in ((2,), (), (3, 4)):
        assert torch.equal(some.uniform(*shape), whole.uniform(*shape)[rows])


def test_draws_differ_by_row_call_and_key() -> None:
    draws = RowDraws("depth 0 3", range(4), 4)
    first, second = draws.uniform(1), draws.uniform(1)
    other = RowDraws("depth 0 4", range(4), 4).uniform(1)
    assert len(torch.cat([first, second, other]).unique()) == 12
    assert float(first.min()) >= 0
    assert float(first.max()) < 1


class Kept:
    """Stands for an accelerator: keeps what a process gives to the sum over all."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.given: list[float] = []

    def reduce(self, value: Tensor, reduction: str) -> Tensor:
        assert reduction == "sum"
        self.given.append(float(value))
        return value


class Hits:
    """A reward of 1 for the target, and of a little for every item, so that no group is like another."""

    def reward(self, judged: Judged) -> Tensor:
        hit = (judged.candidates == judged.target[:, None]).float()
        return hit + judged.candidates.clamp_min(0) / 100


class Near:
    """A reward of 1 for every sixth item, the target among them: about half of all groups are constant."""

    def reward(self, judged: Judged) -> Tensor:
        return (judged.candidates % 6 == judged.target[:, None] % 6).float()


def make(
    recommender: Recommender, decoder: Any, share: Share, sample: bool = True, seed: int = 0, width: int = 0
) -> tuple[Group, float]:
    rows = list(share.made)
    lesson = recommender.prompts.answered([(np.array(HISTORIES[row]), TARGETS[row]) for row in rows])
    history = torch.full((len(rows), 1), -1)
    world: Any = Kept()
    maker = RolloutMaker(recommender, decoder, [(1.0, Hits())], 4, world, sample, seed, width=width)
    return maker.make(lesson, torch.tensor(TARGETS)[rows], history, share), world.given[0]


@pytest.mark.parametrize("processes", [2, 3, 8])
@pytest.mark.parametrize("name", DECODERS)
def test_depths_candidates_and_reward_are_those_of_one_process(
    build: Callable[..., Recommender], catalogue: Catalogue, name: str, processes: int
) -> None:
    """Eight processes leave one without a prompt: what it makes for nothing counts for nothing."""
    recommender = build(thinks=True)
    config = catalogue.config_class("decoder", DECODERS[name]["use"]).model_validate(DECODERS[name])
    decoder = catalogue.build("decoder", config, Env())
    decoder.bind(recommender.prompts.table)
    count = len(HISTORIES)
    whole, reward = make(recommender, decoder, Share.of(5, count, 0, 1))
    shares = [Share.of(5, count, process, processes) for process in reversed(range(processes))]
    parts = {share.rows[0]: make(recommender, decoder, share) for share in shares if share.rows}
    idle = [make(recommender, decoder, share)[1] for share in shares if not share.rows]
    groups = [parts[first][0] for first in sorted(parts)]
    assert torch.equal(torch.cat([group.depth for group in groups]), whole.depth)
    assert torch.equal(torch.cat([group.items for group in groups]), whole.items)
    assert torch.equal(torch.cat([group.rewards for group in groups]), whole.rewards)
    assert sum(part[1] for part in parts.values()) == pytest.approx(reward, rel=1e-5)
    assert all(value == 0 for value in idle)
    assert len(whole.depth.unique()) > 2


def test_updates_and_seeds_draw_anew_and_no_draw_is_the_most_probable(
    build: Callable[..., Recommender], catalogue: Catalogue
) -> None:
    recommender = build(thinks=True)
    config = catalogue.config_class("decoder", "trie_sample").model_validate(DECODERS["sample"])
    decoder = catalogue.build("decoder", config, Env())
    decoder.bind(recommender.prompts.table)
    count = len(HISTORIES)
    found = [
        make(recommender, decoder, Share.of(update, count, 0, 1), seed=seed)[0]
        for update, seed in ((0, 0), (1, 0), (0, 1), (0, 0))
    ]
    for other in found[1:3]:
        assert not torch.equal(found[0].depth, other.depth)
        assert not torch.equal(found[0].items, other.items)
    assert torch.equal(found[0].items, found[3].items)
    greedy = make(recommender, decoder, Share.of(0, count, 0, 1), sample=False)[0]
    prompt = recommender.read(greedy.lesson.prompts)
    assert torch.equal(greedy.depth_index, recommender.depth_policy.logits(prompt)[:, 0].argmax(-1))


class Level:
    """Eight depths, all equally likely."""

    support = tuple(range(1, 9))

    def logits(self, prompt: Prompt) -> Tensor:
        return prompt.h0.new_zeros(*prompt.h0.shape[:-1], 8)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_evaluation_draws_by_user(processes: int) -> None:
    """Batch by batch, as they are dealt out, each user gets the depth that the user gets on one process."""
    stage = EvaluateStage(EvaluateConfig(use="evaluate", depth="sample", batch_size=3, beside=()), Env())
    lengths = [4, 1, 3, 1, 2, 5, 2, 1, 4, 3]
    histories = [np.zeros(length, dtype=np.int64) for length in lengths]
    held_out = HeldOut(np.arange(10), histories, np.zeros(10, dtype=np.int64))
    expected = depth_at(
        Level(), prompt_of(torch.zeros(10, 1, 3)), RowDraws("evaluate 4", range(10), 10).uniform(1)
    )[0]
    found = torch.zeros_like(expected)
    for process in range(processes):
        world: Any = SimpleNamespace(process_index=process, num_processes=processes)
        rule = stage._depth_rule(4, held_out, world)
        for users in batches_of_users(histories, 3)[process::processes]:
            found[torch.from_numpy(users)] = rule(Level(), prompt_of(torch.zeros(len(users), 1, 3)))
    assert torch.equal(found, expected)
    assert len(expected.unique()) > 3


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_refilled_groups_are_those_of_one_process(
    build: Callable[..., Recommender], catalogue: Catalogue, processes: int
) -> None:
    """Constant groups are replaced, up to three times, by the same prompts with the same draws."""
    recommender = build(thinks=True)
    config = catalogue.config_class("decoder", "trie_sample").model_validate(DECODERS["sample"])
    decoder = catalogue.build("decoder", config, Env())
    decoder.bind(recommender.prompts.table)
    rolled = [refilled(recommender, decoder, process, processes) for process in range(processes)]
    whole, target, count = refilled(recommender, decoder, 0, 1)
    assert 0 < count <= 3
    first = refilled(recommender, decoder, 0, 1, rounds=0)[0]
    constant = ~varied(first.rewards, first.items >= 0)
    assert 0 < int(constant.sum()) < len(constant)
    changed = (first.items != whole.items).any(1)
    assert not bool((changed & ~constant).any())
    assert int((~varied(whole.rewards, whole.items >= 0)).sum()) < int(constant.sum())
    mine = [found for found, process in zip(rolled, range(processes), strict=True) if process < len(constant)]
    for name in ("items", "rewards", "depth", "depth_index"):
        parts = torch.cat([getattr(group, name) for group, _, _ in mine])
        assert torch.equal(parts, getattr(whole, name)), name
    assert torch.equal(torch.cat([targets for _, targets, _ in mine]), target)
    ids = [row[row != 0].tolist() for group, _, _ in mine for row in group.lesson.prompts.ids]
    assert ids == [row[row != 0].tolist() for row in whole.lesson.prompts.ids]
    shares = [Share.of(5, len(constant), process, processes).weight for process in range(processes)]
    assert sum(s * found[2] for s, found in zip(shares, rolled, strict=True)) == pytest.approx(count)


def refilled(
    recommender: Recommender, decoder: Any, process: int, processes: int, rounds: int = 3
) -> tuple[Group, Tensor, float]:
    """What a training stage makes of the seven prompts, as one of several processes."""
    rows = [np.array([*history, target]) for history, target in zip(HISTORIES, TARGETS, strict=True)]
    windows = [Window(user, 0, len(row)) for user, row in enumerate(rows)]
    training: Any = SimpleNamespace(
        train=Sequences.of(rows),
        windows=windows,
        seed=0,
        recommender=recommender,
        anchors=None,
        accelerator=Kept(),
        config=SimpleNamespace(refill=rounds),
        rollouts=RolloutMaker(recommender, decoder, [(1.0, Near())], 4, Kept(), True, 0),
    )
    training._collate = partial(_RlTraining._collate, training)
    share = Share.of(5, len(rows), process, processes)
    return _RlTraining._rolled_out(training, [windows[row] for row in share.made], share)


def test_a_wider_search_is_cut_to_its_best(build: Callable[..., Recommender], catalogue: Catalogue) -> None:
    recommender = build(thinks=True)
    config = catalogue.config_class("decoder", "trie_beam").model_validate({"use": "trie_beam"})
    decoder = catalogue.build("decoder", config, Env())
    decoder.bind(recommender.prompts.table)
    share = Share.of(0, len(HISTORIES), 0, 1)
    narrow = make(recommender, decoder, share, sample=False)[0].items
    wide = make(recommender, decoder, share, sample=False, width=30)[0].items  # the whole catalogue
    assert wide.shape == narrow.shape == (len(HISTORIES), 4)
    asked: list[int] = []
    search = decoder.search

    def spy(backbone: Any, trace: Any, width: int) -> Any:
        asked.append(width)
        found = search(backbone, trace, width)
        assert torch.equal(found.items[:, 0, :4], wide)
        return found

    decoder.search = spy
    make(recommender, decoder, share, sample=False, width=30)
    assert asked == [30]
