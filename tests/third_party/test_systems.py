"""Four systems of the field as plugins that touch no core file: their contracts, their equations by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt, Rollout
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.testing import parametrize_with_checks, tiny
from lasar_kit.testing.tiny import TinyBackbone

HERE = Path(__file__).parent
FOLDERS = [HERE / name for name in ("per_thought", "pooled_thought", "by_length", "written_cot")]
CATALOGUE = Catalogue.discover(FOLDERS)


@parametrize_with_checks(
    [
        ("sft_objective", {"use": "per_thought", "sharpening": 2.0}),
        ("sft_objective", "noisy_thoughts"),
        ("sft_objective", {"use": "noisy_thoughts", "negatives": "batch"}),
        ("sft_objective", "taught_text"),
        ("latent_loop", {"use": "pooled_thought", "heads": 2}),
        ("latent_loop", {"use": "written_cot", "limit": 4}),
        ("depth_policy", "by_length"),
        ("depth_policy", {"use": "by_length", "learned": True}),
        ("rl_objective", "written"),
    ],
    plugin_paths=FOLDERS,
)
def test_contract(check: Any) -> None:
    check()


def make(kind: str, name: str, env: Env | None = None, **options: Any) -> Any:
    config = CATALOGUE.config_class(kind, name).model_validate({"use": name, **options})
    return CATALOGUE.build(kind, config, env or tiny.environment())


class View:
    """Two prompts, of two thoughts and of one; the head is the identity over three items of one token."""

    def __init__(self) -> None:
        states = torch.tensor([[[[1.0, 0, 2], [0, 3, 1]]], [[[2.0, 1, 0], [9, 9, 9]]]])
        mask = torch.tensor([[[True, True]], [[True, False]]])
        self.trace = LatentTrace(states, mask, states[:, :, 0], torch.zeros(2, 1).long(), Context())
        self.lesson = lesson((True, True))

    def token_logp(self, states: Any, tokens: Any, temperature: Any) -> Any:
        return (states / temperature[:, None, None]).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]

    def again(self, noise: float) -> View:
        other = View()
        other.trace.states.add_(torch.arange(12.0).view(2, 1, 2, 3) / 10)
        return other


def lesson(counts: tuple[bool, bool]) -> Any:
    from lasar_kit.core.lesson import Lesson, Prompts

    two = torch.zeros(2, 1).long()
    prompts = Prompts(two, two[:, 0], two, torch.tensor(counts)[:, None], two + 1, two[:0, 0])
    return Lesson(prompts, torch.tensor([[[1]], [[0]]]))


def test_each_thought_at_its_temperature() -> None:
    """Thought 1 of 2 at 0.5 * 4, the last one of each prompt at 0.5."""
    loss = make("sft_objective", "per_thought", temperature=0.5, sharpening=4.0).loss(View())

    def nll(logits: list[float], item: int, heat: float) -> float:
        exps = [math.exp(value / heat) for value in logits]
        return -math.log(exps[item] / sum(exps))

    expected = nll([1, 0, 2], 1, 2.0) + nll([0, 3, 1], 1, 0.5) + nll([2, 1, 0], 0, 0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_thought_finds_its_noisy_copy() -> None:
    """In the batch two copies of thought 1 and one of thought 2; in its row each prompt is alone."""
    view = View()
    clean, noisy = view.trace.states[:, 0, 0], view.again(0.1).trace.states[:, 0, 0]

    def cosine(a: Any, b: Any) -> float:
        return float((a * b).sum() / (a.norm() * b.norm()))

    expected = 0.0
    for own, one in enumerate(clean):
        exps = [math.exp(cosine(one, other) / 0.2) for other in noisy]
        expected -= math.log(exps[own] / sum(exps))
    batch = make("sft_objective", "noisy_thoughts", temperature=0.2, negatives="batch")
    assert float(batch.loss(view)) == pytest.approx(expected, rel=1e-4)
    assert float(make("sft_objective", "noisy_thoughts").loss(view)) == pytest.approx(0, abs=1e-6)


def prompt_of_three(backbone: TinyBackbone, pads: int = 0) -> Prompt:
    from lasar_kit.core.chains import read_chains

    ids = torch.tensor([[0] * pads + [3, 7, 5]])
    states, context = read_chains(backbone, ids, torch.tensor([3]))
    tip = torch.tensor([[pads + 2]])
    return Prompt(states[:, -1:], tip, context, states, torch.tensor([pads]), tip, tip - pads + 1)


@pytest.mark.parametrize("pads", [0, 2])
@torch.no_grad()
def test_a_thought_pools_what_was_read(pads: int) -> None:
    backbone = tiny.backbone()
    loop, prompt = make("latent_loop", "pooled_thought", scale=0.7), prompt_of_three(backbone, pads)
    trace = loop.run(backbone, prompt, torch.tensor([[1]]), 1)
    h = prompt.states[0, pads:]
    scores = torch.stack([(loop.query @ h[2]) @ (loop.key @ one) / 6**0.5 for one in h])
    mixed = sum(weight * one for weight, one in zip(scores.softmax(0), h, strict=True))
    fed = mixed / mixed.norm() * 0.7 * backbone.embedding_norm()  # type: ignore[union-attr]
    torch.testing.assert_close(trace.states[0, 0, 0], backbone.cell(h[2], fed))
    torch.testing.assert_close(trace.last, trace.states[:, :, 0])


def test_depth_by_number_of_items() -> None:
    policy = make("depth_policy", "by_length", lengths=[3, 8], depths=[4, 0, 2])
    items = torch.tensor([[1, 2, 3, 7, 8, 50]])
    states = torch.zeros(1, 6, 6)
    prompt = Prompt(states, items, Context(), states, items[:, 0], items, items)
    assert policy.support == (0, 2, 4)
    assert [policy.support[choice] for choice in policy.logits(prompt).argmax(-1)[0]] == [4, 4, 0, 0, 2, 2]


@pytest.fixture
def writer() -> TinyBackbone:
    """A tiny backbone that holds the tokens of the loop."""
    return TinyBackbone(None, writing()).eval()


def writing() -> Env:
    from dataclasses import replace

    vocabulary = (*sid_tokens((4, 4)), *LATENT_TOKENS, "<think>", "</think>")
    env = replace(tiny.environment(), seed=11, vocabulary=vocabulary)
    return replace(env, tokenizer=TinyBackbone(None, env).tokenizer)


@torch.no_grad()
def test_a_text_by_hand(writer: TinyBackbone) -> None:
    """`<think> red hair </think>`: words compete with "red", "dry", "hair" and the end alone."""
    loop, prompt = make("latent_loop", "written_cot", writing(), limit=4), prompt_of_three(writer)
    index = writer.tokenizer.index
    red, hair, close = index["red"], index["hair"], index["</think>"]
    trace = loop.spell(writer, prompt, torch.tensor([[[red, hair, -1]]]))
    state, expected = prompt.h0[0, 0], []
    for token, following in ((index["<think>"], red), (red, hair), (hair, close)):
        state = writer.cell(state, writer.table[token])
        exps = {name: float((writer.head[index[name]] @ state).exp()) for name in ("red", "dry", "hair")}
        rivals = sum(exps.values()) + float((writer.head[close] @ state).exp())
        expected.append(math.log(float((writer.head[following] @ state).exp()) / rivals))
    assert trace.written.tolist() == [[[red, hair, close, -1]]]
    torch.testing.assert_close(trace.written_logp[0, 0], torch.tensor([*expected, 0.0]))
    torch.testing.assert_close(trace.last[0, 0], writer.cell(state, writer.table[close]))
    cut = make("latent_loop", "written_cot", writing(), limit=2)
    trace = cut.spell(writer, prompt, torch.tensor([[[red, hair, red]]]))
    assert trace.written.tolist() == [[[red, hair]]], "an end that the limit put there was not written"


@torch.no_grad()
def test_what_is_drawn_is_spelt_again(writer: TinyBackbone) -> None:
    """RL reads a rollout's text a second time: the same answer, tokens and probabilities; draws repeat."""
    loop, prompt = make("latent_loop", "written_cot", writing(), limit=5), prompt_of_three(writer, 1)
    texts = set()
    for seed in range(12):
        loop.draw_from(RowDraws(f"{seed}", [0], 1))
        trace = loop.run(writer, prompt, torch.tensor([[1]]), 1)
        again = loop.spell(writer, prompt, trace.written)
        for name in ("last", "written", "written_logp", "depth"):
            torch.testing.assert_close(getattr(again, name), getattr(trace, name))
        texts.add(tuple(trace.written[0, 0].tolist()))
    assert len(texts) > 6
    greedy = loop.run(writer, prompt, torch.tensor([[1]]), 1)
    assert torch.equal(greedy.written, loop.run(writer, prompt, torch.tensor([[1]]), 1).written)
    direct = loop.run(writer, prompt, torch.tensor([[0]]), 0)
    assert torch.equal(direct.last, prompt.h0)
    assert torch.equal(loop.spell(writer, prompt, direct.written).last, prompt.h0)


def test_texts_that_earned_more_grow_likelier() -> None:
    """Three prompts, advantages 0.5, -0.5 and 0; the third wrote nothing; one ratio beyond the clip."""
    logp = torch.tensor([[-1.0, -2.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    old = torch.tensor([[-1.0, -2.5], [-1.0, 0.0], [0.0, 0.0]])
    written = torch.tensor([[True, True], [True, False], [False, False]])
    some = torch.zeros(3, 2, 1)
    rewards = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    depth, valid = torch.zeros(3).long(), torch.ones(3, 2).bool()
    rollout = Rollout(
        some, some, some, rewards, valid, depth, torch.zeros(3, 1), depth, torch.tensor(0.5),
        written=written[:, None], written_logp=logp[:, None], old_written_logp=old[:, None],
    )  # fmt: skip
    loss, _ = make("rl_objective", "written", clip=0.2).loss(rollout)
    # Means over a text's tokens, then over prompts: ((1 + 1.2) / 2 * 0.5 - 0.5 + 0) / 3
    assert loss.item() == pytest.approx(-(1.1 * 0.5 - 0.5) / 3, rel=1e-5)
    loss.backward()
    expected = torch.tensor([[-0.5 / 6, 0.0], [0.5 / 3, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(logp.grad, expected)
