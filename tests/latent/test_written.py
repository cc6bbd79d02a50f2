"""The loop that writes, on the tiny backbone: texts by hand, drawn ones, many of any length at once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lasar_kit.core.chains import read_chains
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.lesson import Lesson
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.core.vocabulary import END_THINK, LATENT_TOKENS, THINK, sid_tokens
from lasar_kit.testing.lessons import Teaching, TinyView
from lasar_kit.testing.tiny import TinyBackbone, environment
from lasar_kit.testing.tiny.backbone import Nodes
from lasar_plugins.latent_loop.written.config import WrittenConfig
from lasar_plugins.latent_loop.written.draws import inverted, numbers_of
from lasar_plugins.latent_loop.written.loop import WrittenLoop
from lasar_plugins.sft_objective.rationale.config import DirectAnswerConfig, RationaleConfig
from lasar_plugins.sft_objective.rationale.objectives import DirectAnswer, Rationale


def writing() -> Env:
    """Surroundings whose vocabulary holds the loop's tokens."""
    vocabulary = (*sid_tokens((4, 4)), *LATENT_TOKENS, THINK, END_THINK)
    env = replace(environment(), seed=11, vocabulary=vocabulary)
    return replace(env, tokenizer=TinyBackbone(None, env).tokenizer)


@pytest.fixture(scope="module")
def writer() -> TinyBackbone:
    return TinyBackbone(None, writing()).eval()


def loop(**options: Any) -> WrittenLoop:
    return WrittenLoop(WrittenConfig(use="written", **options), writing())


def read(backbone: TinyBackbone, rows: list[list[int]], branches: int = 1) -> Prompt:
    """Left-padded prompts; branch r ends r tokens before the row does."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    states, context = read_chains(backbone, ids, lengths)
    tip = (width - 1 - torch.arange(branches)).expand(len(rows), -1)
    h0 = states.gather(1, tip[..., None].expand(-1, -1, states.shape[-1]))
    first = width - lengths
    return Prompt(h0, tip, context, states, first, tip, tip - first[:, None] + 1)


def by_hand(backbone: TinyBackbone, state: Tensor, tokens: list[int]) -> tuple[list[float], Tensor]:
    """Log-probabilities of words and the end among these alone, and the state behind the last."""
    index = backbone.tokenizer.index
    rivals = [index[name] for name in ("red", "dry", "hair", END_THINK)]
    found, state = [], backbone.cell(state, backbone.table[index[THINK]])
    for token in tokens:
        odds = {rival: math.exp(float(backbone.head[rival] @ state)) for rival in rivals}
        found.append(math.log(odds[token] / sum(odds.values())))
        state = backbone.cell(state, backbone.table[token])
    return found, state


@torch.no_grad()
def test_a_text_by_hand(writer: TinyBackbone) -> None:
    prompt, index = read(writer, [[3, 7, 5]]), writer.tokenizer.index
    red, hair, end = index["red"], index["hair"], index[END_THINK]
    trace = loop(limit=4).spell(writer, prompt, torch.tensor([[[red, hair, -1]]]))
    logp, state = by_hand(writer, prompt.h0[0, 0], [red, hair, end])
    assert trace.written is not None
    assert trace.written.tolist() == [[[red, hair, end]]]
    torch.testing.assert_close(trace.written_logp, torch.tensor([[logp]]))
    torch.testing.assert_close(trace.last[0, 0], state)
    torch.testing.assert_close(trace.states[0, 0, 0], state)
    cut = loop(limit=2).spell(writer, prompt, torch.tensor([[[red, hair, red]]]))
    assert cut.written is not None
    assert cut.written.tolist() == [[[red, hair]]], "an end that the limit put there was not written"
    torch.testing.assert_close(cut.written_logp, torch.tensor([[logp[:2]]]))
    torch.testing.assert_close(cut.last[0, 0], state)


def alone(backbone: TinyBackbone, trace: LatentTrace, b: int, r: int) -> Tensor:
    """The states behind an answer's two tokens, hung on the tip of a branch."""
    parent = torch.full((len(trace.last), 1), int(trace.tip[b, r]))
    states = []
    context = trace.context
    for token in (6, 9):
        inputs = backbone.embed(torch.full_like(parent, token))
        state, context = backbone.advance(inputs, parent, context)
        parent = torch.full_like(parent, context.length - 1)
        states.append(state[b, 0])
    return torch.stack(states)


@torch.no_grad()
def test_texts_of_all_lengths_are_read_at_once(writer: TinyBackbone) -> None:
    """Each of a batch, whatever stands beside it, as it is read alone; one of none at all."""
    texts = [[[3, 4, 5, 4], [], [5]], [[4], [3, 3, 3], []]]
    prompts = [[7, 3, 8, 5], [9, 6, 4]]
    full = torch.tensor([[row + [-1] * (4 - len(row)) for row in rows] for rows in texts])
    together = loop(limit=9).spell(writer, read(writer, prompts, 3), full)
    assert together.mask[..., 0].tolist() == [[True, False, True], [True, True, False]]
    assert together.written is not None
    assert together.written_logp is not None
    # Pads between texts are not read: as many tokens as the fullest row has, its brackets among them.
    assert together.context.length == 4 + (4 + 2) + (1 + 2)
    for b, rows in enumerate(texts):
        for r, text in enumerate(rows):
            prompt = read(writer, [prompts[b][: len(prompts[b]) - r]])
            one = loop(limit=9).spell(writer, prompt, torch.tensor([[text]]).view(1, 1, -1).long())
            assert one.written is not None
            assert one.written_logp is not None
            wrote = [token for token in one.written[0, 0].tolist() if token >= 0]
            assert [token for token in together.written[b, r].tolist() if token >= 0] == wrote
            assert wrote == ([*text, writer.tokenizer.index[END_THINK]] if text else [])
            torch.testing.assert_close(
                together.written_logp[b, r, : len(wrote)], one.written_logp[0, 0, : len(wrote)]
            )
            torch.testing.assert_close(together.last[b, r], one.last[0, 0])
            torch.testing.assert_close(alone(writer, together, b, r), alone(writer, one, 0, 0))


@torch.no_grad()
def test_what_is_drawn_is_spelled_again(writer: TinyBackbone) -> None:
    """RL reads a rollout's texts a second time; they are drawn anew each time, and the same by one key."""
    made, prompt = loop(limit=12), read(writer, [[3, 7, 5]]).branched(8)
    ones = torch.ones(1, 8).long()
    runs = []
    for key in ("a", "b", "a"):
        made.draw_from(RowDraws(key, [0], 1))
        trace = made.run(writer, prompt, ones, 1)
        assert trace.written is not None
        again = made.spell(writer, prompt, trace.written)
        for name in ("last", "written", "written_logp"):
            torch.testing.assert_close(getattr(again, name), getattr(trace, name))
        runs.append(trace.written)
    assert torch.equal(runs[0], runs[2])
    assert len({tuple(row) for row in runs[0][0].tolist()}) > 3
    assert not torch.equal(runs[0], runs[1])
    greedy = [made.run(writer, prompt, ones, 1).written for _ in range(2)]
    assert torch.equal(greedy[0], greedy[1]), "numbers are for one call"  # type: ignore[arg-type]
    assert len({tuple(row) for row in greedy[0][0].tolist()}) == 1  # type: ignore[index]


@torch.no_grad()
def test_depth_0_answers_directly(writer: TinyBackbone) -> None:
    made, prompt = loop(limit=3), read(writer, [[3, 7, 5], [4, 9, 3]])
    mixed = made.run(writer, prompt, torch.tensor([[0], [2]]), 2)
    assert torch.equal(mixed.last[0], prompt.h0[0])
    assert int(mixed.tip[0, 0]) == int(prompt.tip[0, 0])
    assert not torch.equal(mixed.last[1], prompt.h0[1])
    nothing = made.run(writer, prompt, torch.tensor([[0], [0]]), 0)
    assert torch.equal(nothing.last, prompt.h0)
    assert nothing.written is not None
    assert nothing.context.length == made.spell(writer, prompt, nothing.written).context.length


def test_processes_that_share_weights_read_alike(
    writer: TinyBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has no text reads as often as the others, and its answer's gradient passes what it read."""
    prompt = read(writer, [[3, 7, 5], [4, 9, 3]])
    nothing = torch.full((2, 1, 2), -1)
    alone = loop(limit=4).spell(writer, prompt, nothing)
    assert alone.context is prompt.context
    monkeypatch.setattr("lasar_plugins.latent_loop.written.paths.several", lambda: True)
    trace = loop(limit=4).spell(writer, prompt, nothing)
    assert isinstance(trace.context, Nodes)
    assert (trace.context.length, trace.context.states.requires_grad) == (prompt.context.length + 1, True)
    for name in ("last", "tip", "written", "written_logp"):
        assert torch.equal(getattr(trace, name), getattr(alone, name))
    assert not trace.mask.any()


@torch.no_grad()
def test_sampled_texts_belong_to_their_histories(writer: TinyBackbone) -> None:
    made = loop(limit=8, text="sample")
    prompt = read(writer, [[3, 7, 5], [4, 9, 3], [3, 7, 5]])
    shown = torch.tensor([[[1, 2, -1]], [[3, -1, -1]], [[2, 1, -1]]])
    first = made.run(writer, replace(prompt, shown=shown), torch.ones(3, 1).long(), 1).written
    single = read(writer, [[4, 9, 3]])
    alone = made.run(writer, replace(single, shown=shown[1:2]), torch.ones(1, 1).long(), 1).written
    assert first is not None
    assert alone is not None
    width = min(first.shape[-1], alone.shape[-1])
    assert torch.equal(first[1, 0, :width], alone[0, 0, :width])
    numbers = torch.stack([numbers_of(replace(prompt, shown=shown), place) for place in range(400)])
    assert len(set(numbers.flatten().tolist())) == 1200, "by place, by items, and by their order"
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    assert np.histogram(numbers.numpy(), bins=4, range=(0, 1))[0] == pytest.approx([300] * 4, abs=75)


def test_draws_invert_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.0, 0.6, 0.3]).log()
    numbers = torch.tensor([0.0, 0.0999, 0.1001, 0.69, 0.71, 0.999999], dtype=torch.float64)
    found = inverted(logits.expand(6, -1), numbers)
    assert found.tolist() == [0, 0, 2, 2, 3, 3]


def test_the_terms_by_hand() -> None:
    """Of three prompts one counts and has a text, of two words: a mean over them, a sum over its answer."""
    lesson: Lesson = Teaching([[3, 4, 5]] * 3, [[True], [True], [False]], [[2], [0], [3]], seed=3).lesson
    view = TinyView(lesson)
    logp = view.trace.written_logp
    assert logp is not None
    rationale, direct = (
        Rationale(RationaleConfig(use="rationale"), Env()),
        DirectAnswer(DirectAnswerConfig(use="direct_answer"), Env()),
    )
    assert rationale.count(lesson, None) == 1
    loss: Any = rationale.loss(view).detach()  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(-float(logp.detach()[0, 0, :2].sum()) / 2)
    assert direct.count(lesson, None) == 2
    backbone, (one, two) = view.backbone, lesson.targets[0, 0].tolist()
    state = view.prompt.h0[0, 0]
    expected = backbone.logits(state).log_softmax(-1)[one]
    expected = expected + backbone.logits(backbone.cell(state, backbone.table[one])).log_softmax(-1)[two]
    loss = direct.loss(view).detach()  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(-float(expected.detach()), rel=1e-5)
