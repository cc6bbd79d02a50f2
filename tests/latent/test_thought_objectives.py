"""Terms on each thought, by hand on three items: ReaRec's, the progressive cross-entropy, ManCAR's."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.interfaces import Ranker
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt, SidTable
from lasar_plugins.sft_objective.thoughts.mancar import MancarNeighbours

CATALOGUE = Catalogue.discover()
TABLE = SidTable(torch.tensor([[0], [1], [2]]))

START = [[1.0, 0.0, 0.0], [0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]
THOUGHTS = [
    [[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]],
    [[2.0, 1.0, 0.0], [9.0, 9.0, 9.0]],
    [[0.5, 0.5, 0.0], [7.0, 7.0, 7.0]],
]
DEPTH, TARGET = [2, 1, 0], [1, 0, 2]
"""Three prompts, each in a row of its own, of two thoughts, one and none."""


class View:
    """The head is the identity over three items of one token."""

    def __init__(self, states: Tensor, counts: tuple[bool, ...] = (True, True, True), epoch: int = 0) -> None:
        self.states, self.counts, self.epoch = states, counts, epoch
        rows = torch.zeros(3, 1).long()
        mask = torch.arange(2) < torch.tensor(DEPTH)[:, None, None]
        self.trace = LatentTrace(states, mask, states[:, :, 0], rows, Context())
        h0 = torch.tensor(START)[:, None]
        self.prompt = Prompt(h0, rows, Context(), h0, rows[:, 0], rows, rows + 1)
        prompts = Prompts(rows, rows[:, 0] + 1, rows, torch.tensor(counts)[:, None], rows + 1, rows[:0, 0])
        self.lesson = Lesson(prompts, torch.tensor(TARGET)[:, None, None], epoch=epoch)
        self.backbone = SimpleNamespace(logits=lambda hidden, tokens: hidden[..., tokens])

    def token_logp(self, states: Tensor, tokens: Tensor, temperature: Tensor) -> Tensor:
        return (states / temperature[:, None, None]).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]

    def again(self, noise: float) -> View:
        assert noise == 0.01
        return View(self.states + torch.arange(18.0).view(3, 1, 2, 3) / 10, self.counts, self.epoch)


def view(**options: Any) -> Any:
    return View(torch.tensor(THOUGHTS)[:, None], **options)


def make(use: str, **options: Any) -> Any:
    config = CATALOGUE.config_class("sft_objective", use).model_validate({"use": use, **options})
    return CATALOGUE.build("sft_objective", config, Env(hidden_size=3, table=TABLE))


def softmax(logits: Any, heat: float) -> list[float]:
    exps = [math.exp(float(value) / heat) for value in logits]
    return [value / sum(exps) for value in exps]


def nll(logits: Any, item: int, heat: float) -> float:
    return -math.log(softmax(logits, heat)[item])


def test_early_steps_at_higher_temperatures() -> None:
    """Step t < T of T at 0.5 * 3^(T - t), averaged over the steps of a prompt; no step before none."""
    objective = make("rearec_prl", temperature=0.5, alpha=3.0)
    deep = [nll(START[0], 1, 0.5 * 9), nll(THOUGHTS[0][0], 1, 0.5 * 3)]
    expected = sum(deep) / 2 + nll(START[1], 0, 0.5 * 3)
    assert float(objective.loss(view())) == pytest.approx(expected, rel=1e-5)
    assert objective.count(view().lesson, None) == 3
    added = make("rearec_prl", temperature=0.5, alpha=3.0, over="sum", progressive=2.0)
    assert float(added.loss(view())) == pytest.approx(2 * (sum(deep) + nll(START[1], 0, 1.5)), rel=1e-5)
    alone = float(objective.loss(view(counts=(False, True, True))))
    assert alone == pytest.approx(nll(START[1], 0, 1.5), rel=1e-5)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_noisy_thought_finds_its_clean_one(similarity: str) -> None:
    """Two prompts have a thought 1, one a thought 2; after two epochs, not before."""
    clean = torch.tensor(THOUGHTS)
    noisy = clean + torch.arange(18.0).view(3, 2, 3) / 10

    def like(a: Tensor, b: Tensor) -> float:
        product = float(a @ b)
        return product if similarity == "dot" else product / float(a.norm() * b.norm())

    first = [nll([like(noisy[own, 0], clean[k, 0]) for k in (0, 1)], own, 0.8) for own in (0, 1)]
    objective = make("rearec_prl", temperature=0.8, progressive=0, similarity=similarity)
    assert float(objective.loss(view(epoch=1))) == 0
    # Thought 2 of the first prompt has no other to be told from: 0, and half of the mean over its two.
    assert float(objective.loss(view(epoch=2))) == pytest.approx(first[0] / 2 + first[1], rel=1e-4)
    row = make("rearec_prl", temperature=0.8, progressive=0, similarity=similarity, negatives="row")
    assert float(row.loss(view(epoch=2))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("negatives", "others"), [("batch", [[3], [3], [0, 1]]), ("row", [[1], [0], []])])
def test_whose_thoughts_a_noisy_one_is_told_from(negatives: str, others: list[list[int]]) -> None:
    """Prompts 0 and 1 are of one row; of the other row's two, 2 has no thought."""
    clean, noisy = (torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    held = torch.tensor([[True, True], [False, True]])
    objective = make("rearec_prl", temperature=0.5, similarity="dot", negatives=negatives)
    a, b = noisy.flatten(0, 1), clean.flatten(0, 1)
    expected = [
        nll([float(a[own] @ b[k]) for k in (own, *told)], 0, 0.5)
        for own, told in zip((0, 1, 3), others, strict=True)
    ]
    assert objective.told_apart(noisy, clean, held).tolist() == pytest.approx(expected, abs=1e-5)


def test_steps_are_kept_apart() -> None:
    """Minus the mean over pairs of KL(p_j || p_i): six pairs of three steps, two of two, none of one."""
    heat = 0.7

    def kl(one: Any, other: Any) -> float:
        pairs = zip(softmax(one, heat), softmax(other, heat), strict=True)
        return sum(p * math.log(p / q) for p, q in pairs)

    def apart(steps: list[Any]) -> float:
        found = [kl(a, b) for i, a in enumerate(steps) for j, b in enumerate(steps) if i != j]
        return sum(found) / len(found)

    expected = -apart([START[0], *THOUGHTS[0]]) - apart([START[1], THOUGHTS[1][0]])
    assert float(make("rearec_erl", temperature=heat).loss(view())) == pytest.approx(expected, rel=1e-4)


def test_gradients_run_through_the_first_distribution_alone() -> None:
    states = torch.tensor(THOUGHTS)[:, None].requires_grad_()
    seen = View(states)
    loss = make("rearec_erl", temperature=1.0).loss(seen)
    (found,) = torch.autograd.grad(loss, states)
    wide = [torch.tensor(START[1]), states[1, 0, 0].detach().clone().requires_grad_()]
    p, q = (step.log_softmax(-1) for step in wide)
    pair = (p.exp() * (p - q.detach())).sum() + (q.exp() * (q - p.detach())).sum()
    (expected,) = torch.autograd.grad(-pair / 2, wide[1])
    torch.testing.assert_close(found[1, 0, 0], expected)
    assert not found[1, 0, 1].any()
    assert not found[2].any()


def test_the_answer_behind_each_thought() -> None:
    """Temperatures 0.5 * 2^(T - t) * t^2, weights 0.3 for the first step and 1 for the others."""
    options = {"temperature": 0.5, "alpha": 2.0, "power": 2.0, "weights": [0.3, 1.0]}
    two = [0.3 * nll(THOUGHTS[0][0], 1, 0.5 * 2), nll(THOUGHTS[0][1], 1, 0.5 * 4)]
    one = 0.3 * nll(THOUGHTS[1][0], 0, 0.5)
    loss = make("each_thought", **options).loss(view())
    assert float(loss) == pytest.approx(sum(two) / 2 + one, rel=1e-5)
    loss = make("each_thought", over="sum", **options).loss(view())
    assert float(loss) == pytest.approx(sum(two) + one, rel=1e-5)


def test_the_prompts_state_may_be_a_step_and_the_last_thought_none() -> None:
    loss = make("each_thought", temperature=0.5, start=True).loss(view())
    three = [nll(step, 1, 0.5) for step in (START[0], *THOUGHTS[0])]
    two = [nll(step, 0, 0.5) for step in (START[1], THOUGHTS[1][0])]
    expected = sum(three) / 3 + sum(two) / 2 + nll(START[2], 2, 0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    loss = make("each_thought", temperature=0.5, start=True, last=False).loss(view())
    expected = sum(three[:2]) / 2 + two[0]
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_answer_at_a_temperature() -> None:
    seen = view()
    seen.answers = seen.trace.states[:, :, :1]
    expected = sum(nll(THOUGHTS[row][0], TARGET[row], 0.07) for row in range(3))
    assert float(make("answer", temperature=0.07).loss(seen)) == pytest.approx(expected, rel=1e-5)


class Listed(Ranker):
    """Behind item 0 comes 1, then 2; behind 2 comes 0; behind 1 nothing."""

    draws_ties = False

    def fit(self, train: Any, items: Any) -> None:
        pass

    def score(self, histories: Any) -> Any:
        none = -np.inf
        table = np.array([[9.0, 3.0, 2.0], [none, 5.0, none], [1.0, none, 9.0]])
        return table[[history[-1] for history in histories]]


def mancar(**options: Any) -> Any:
    config = CATALOGUE.config_class("sft_objective", "mancar_neighbours").model_validate(
        {"use": "mancar_neighbours", **options}, context={"catalogue": CATALOGUE}
    )
    items = pl.DataFrame({"id": ["a", "b", "c"]})
    train = Sequences.of([[0, 1, 2]])
    env = Env(hidden_size=3, table=TABLE, items=items, train=train, build=lambda kind, config, env: Listed())
    return MancarNeighbours(config, env)


def bought(*last: int, **options: Any) -> View:
    """The view, each prompt showing item 2 and then this one, of a history that goes on."""
    seen = view(**options)
    history = torch.tensor([[2, item, 2] for item in last])
    items = torch.full((3, 1), 2)
    seen.lesson = replace(seen.lesson, prompts=replace(seen.lesson.prompts, history=history, items=items))
    return seen


def held_to(logits: Any, support: list[int], heat: float) -> float:
    q = softmax([-rank for rank in range(len(support))], heat)
    p = softmax(logits, 1.0)
    return sum(one * (math.log(one) - math.log(p[item])) for one, item in zip(q, support, strict=True))


def test_steps_are_held_to_neighbours_of_the_last_item() -> None:
    """Next items are 1, 0 and 2, last ones 0, 1 and 2: neighbours 2 (1 is the next item itself), none, 0.

    Heat is how many steps are left, the own one included: 3, 2, 1 of three; 2, 1 of two; 1 of one.
    """
    first = [
        held_to(step, [1, 2], heat) for step, heat in zip([START[0], *THOUGHTS[0]], (3, 2, 1), strict=True)
    ]
    second = [nll(START[1], 0, 1.0), nll(THOUGHTS[1][0], 0, 1.0)]
    third = held_to(START[2], [2, 0], 1)
    found = mancar().loss(bought(0, 1, 2))
    assert float(found) == pytest.approx(sum(first) + sum(second) + third, rel=1e-5)
    assert mancar().count(bought(0, 1, 2).lesson, None) == 3
    found = mancar(over="mean", start=False).loss(bought(0, 1, 2))
    tail = [held_to(THOUGHTS[0][0], [1, 2], 2), held_to(THOUGHTS[0][1], [1, 2], 1)]
    assert float(found) == pytest.approx(sum(tail) / 2 + second[1], rel=1e-5)
    alone = mancar(gamma=0.5).loss(bought(0, 1, 2, counts=(False, False, True)))
    assert float(alone) == pytest.approx(held_to(START[2], [2, 0], 0.5), rel=1e-5)


def test_without_neighbours_it_is_the_cross_entropy_of_each_step() -> None:
    expected = float(make("each_thought", start=True, over="sum").loss(view()))
    assert float(mancar(neighbours=0).loss(bought(0, 1, 2))) == pytest.approx(expected, rel=1e-5)
    assert float(mancar().loss(view())) == pytest.approx(expected, rel=1e-5)


def test_neighbours_are_best_first_without_the_item_itself() -> None:
    assert mancar().neighbours.tolist() == [[1, 2, -1], [-1, -1, -1], [0, -1, -1]]
    assert mancar(neighbours=1).neighbours.tolist() == [[1], [-1], [0]]
