"""CODI's self-distillation, LatentR3's reinforcement by perplexity, PLR's diversity: by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.chains import read_chains
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt
from lasar_kit.testing import tiny

CATALOGUE = Catalogue.discover()


def make(use: str, **options: Any) -> Any:
    config = CATALOGUE.config_class("sft_objective", use).model_validate({"use": use, **options})
    return CATALOGUE.build("sft_objective", config, Env(hidden_size=6))


def lesson(counts: list[bool], targets: Any, rationale: Any = None) -> Lesson:
    rows = torch.zeros(len(counts), 1).long()
    mask = torch.tensor(counts)[:, None]
    prompts = Prompts(rows, rows[:, 0] + 1, rows, mask, rows + 1, rows[:0, 0])
    text = None if rationale is None else torch.tensor(rationale)[:, None]
    return Lesson(prompts, torch.tensor(targets)[:, None], rationale=text)


BACKBONE = tiny.backbone()
RED, DRY, HAIR, END = (BACKBONE.tokenizer.index[name] for name in ("red", "dry", "hair", "<|lat_e|>"))
TEXTS = [[RED, HAIR], [DRY, -1], [-1, -1], [HAIR, RED], [DRY, DRY]]
TARGETS = [[6, 11], [7, 12], [6, 11], [6, 12], [7, 10]]


class Student:
    """Five prompts of one token: 3 has no text, 4 does not count, 5 did not think."""

    def __init__(self) -> None:
        self.lesson = lesson([True, True, True, False, True], TARGETS, TEXTS)
        self.backbone = BACKBONE
        ids = torch.tensor([[3], [4], [5], [6], [7]])
        states, context = read_chains(BACKBONE, ids, torch.ones(5).long())
        zero = torch.zeros(5, 1).long()
        self.prompt = Prompt(states, zero, context, states, zero[:, 0], zero, zero + 1)
        self.last = torch.randn(5, 1, 6, generator=torch.Generator().manual_seed(3)).requires_grad_()
        mask = torch.tensor([True, True, True, True, False]).view(5, 1, 1)
        self.trace = LatentTrace(self.last[:, :, None], mask, self.last, zero, Context())

    def token_logp(self, states: Tensor, tokens: Tensor) -> Tensor:
        return BACKBONE.logits(states).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


@torch.no_grad()
def read(state: Tensor, tokens: list[int]) -> tuple[Tensor, list[float]]:
    """The state behind tokens, and the log-probability of each."""
    found = []
    for token in tokens:
        logits = BACKBONE.head @ state
        found.append(float(logits[token] - logits.logsumexp(0)))
        state = BACKBONE.cell(state, BACKBONE.table[token])
    return state, found


@pytest.mark.parametrize(("distance", "divide"), [("l1", "std"), ("smooth_l1", "none")])
def test_thoughts_are_held_to_the_text(distance: str, divide: str) -> None:
    """CODI: the student's state to the teacher's at `<|lat_e|>`, and the teacher's own cross-entropies."""
    view: Any = Student()
    distances, entropies = 0.0, 0.0
    for row in (0, 1, 4):
        words = [token for token in TEXTS[row] if token >= 0]
        state, logp = read(view.prompt.h0[row, 0], [*words, END])
        _, answer = read(state, TARGETS[row])
        entropies -= sum(logp) / len(logp) + sum(answer) / 2
        apart = (view.last[row, 0] - state).abs().detach()
        if distance == "smooth_l1":
            apart = torch.where(apart < 1, apart.square() / 2, apart - 0.5)
        spread = float((state - state.mean()).square().sum() / 5) ** 0.5 if divide == "std" else 1.0
        distances += 0.0 if row == 4 else float(apart.mean()) / spread
    made = make("codi", distill=3.0, teacher=0.5, distance=distance, divide=divide)
    loss = made.loss(view)
    assert loss.item() == pytest.approx(3 * distances + 0.5 * entropies, rel=1e-4)
    assert made.count(view.lesson, None) == 3
    alone = make("codi", distill=3.0, teacher=0.0, distance=distance, divide=divide).loss(view)
    assert alone.item() == pytest.approx(3 * distances, rel=1e-4)
    gradient = torch.autograd.grad(alone, [view.last, BACKBONE.table], allow_unused=True)
    assert gradient[0].flatten(1).any(1).tolist() == [True, True, False, False, False]
    assert gradient[1] is None or not gradient[1].any(), "the teacher is a constant"


LOGITS = torch.tensor([[[1.0, 0.0, 2.0]], [[0.0, 1.0, 0.5]], [[2.0, 0.0, 0.0]]])


class Noisy:
    """Three items of one token, the head being the identity; the states of each copy are moved."""

    def __init__(self, moves: list[float], counts: list[bool]) -> None:
        self.moves, self.lesson = moves, lesson(counts, [[1], [0], [2]])
        self.answers = LOGITS.clone().requires_grad_()
        self.answers = (self.answers * 1.0)[:, None]
        self.drawn = 0

    def again(self, noise: float) -> Any:
        assert noise == 0.7
        move = torch.tensor([0.3, -0.2, 0.5]) * self.moves[self.drawn]
        self.drawn += 1
        return SimpleNamespace(answers=self.answers + move, token_logp=self.token_logp)

    def token_logp(self, states: Tensor, tokens: Tensor) -> Tensor:
        return states.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


@pytest.mark.parametrize("baseline", ["batch", "own"])
def test_perplexity_reinforces_thoughts(baseline: str) -> None:
    """LatentR3: reward -1/p of the next item; its gradient is that of -mean A log p."""
    moves = [1.0, -2.0]
    view: Any = Noisy(moves, [True, True, False])
    loss = make("latentr3", copies=2, noise=0.7, baseline=baseline).loss(view)
    logits = LOGITS[:2, 0]
    copies = [logits + torch.tensor([0.3, -0.2, 0.5]) * move for move in (0.0, *moves)]
    rewards = [
        [-1 / float(row.softmax(0)[item]) for row, item in zip(copy, (1, 0), strict=True)] for copy in copies
    ]
    base = [sum(rewards[0]) / 2] * 2 if baseline == "batch" else rewards[0]
    apart = [[reward - base[n] for n, reward in enumerate(row)] for row in rewards]
    lengths = [math.sqrt(sum(row[n] ** 2 for row in apart)) for n in (0, 1)]
    if baseline == "batch":
        lengths = [math.hypot(*lengths)] * 2
    advantage = [[value / (lengths[n] + 1e-6) for n, value in enumerate(row)] for row in apart]
    assert loss.item() == pytest.approx(-sum(map(sum, advantage)) / 3, rel=1e-4)
    (found,) = torch.autograd.grad(loss, view.answers)
    for n, item in enumerate((1, 0)):
        expected = torch.zeros(3)
        for copy, weights in zip(copies, advantage, strict=True):
            expected -= weights[n] / 3 * (torch.eye(3)[item] - copy[n].softmax(0))
        torch.testing.assert_close(found[n, 0, 0], expected, atol=1e-5, rtol=1e-4)
    assert not found[2].any()


def test_streams_are_kept_apart() -> None:
    """PLR: mean cosine of three pairs of streams, each the mean of its own thoughts; 0 without any."""
    streams = torch.randn(3, 1, 3, 2, 6, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True, True], [True, False], [False, False]])[:, None]
    rows = torch.zeros(3, 1).long()
    trace = LatentTrace(streams.mean(2), mask, streams[:, :, 0, 0], rows, Context(), streams=streams)
    view: Any = SimpleNamespace(lesson=lesson([True] * 3, [[0]] * 3), trace=trace)

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(a @ b / a.norm() / b.norm())

    expected = 0.0
    for row, depth in ((0, 2), (1, 1)):
        means = [one[:depth].mean(0) for one in streams[row, 0]]
        expected += (cosine(means[0], means[1]) + cosine(means[0], means[2]) + cosine(means[1], means[2])) / 3
    assert make("plr_diversity").loss(view).item() == pytest.approx(expected, rel=1e-4)
    assert make("plr_diversity").count(view.lesson, None) == 3
