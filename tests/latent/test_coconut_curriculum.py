"""Coconut's curriculum on the tiny backbone: what gives way, what is read, and the term on words, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.chains import read_chains
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt
from lasar_kit.core.vocabulary import LATENT_END, LATENT_START, LATENT_TOKENS, sid_tokens
from lasar_kit.testing import tiny
from lasar_kit.testing.tiny import TinyBackbone
from lasar_plugins.latent_loop.coconut_curriculum.config import END
from lasar_plugins.latent_loop.coconut_curriculum.steps import numbered

CATALOGUE = Catalogue.discover()


def writing() -> Env:
    env = replace(tiny.environment(), seed=11, vocabulary=(*sid_tokens((4, 4)), *LATENT_TOKENS, END))
    return replace(env, tokenizer=TinyBackbone(None, env).tokenizer)


BACKBONE = TinyBackbone(None, writing()).eval()
INDEX = BACKBONE.tokenizer.index
RED, DRY, HAIR = (INDEX[word] for word in ("red", "dry", "hair"))
START, LEFT, CLOSE = (INDEX[name] for name in (LATENT_START, LATENT_END, END))


def loop(**options: Any) -> Any:
    """A step begins with "red"."""
    named = {"use": "coconut_curriculum", "heading": "red", **options}
    config = CATALOGUE.config_class("latent_loop", "coconut_curriculum").model_validate(named)
    return CATALOGUE.build("latent_loop", config, writing())


def prompt(pads: int = 0) -> Prompt:
    ids = torch.tensor([[0] * pads + [6, 11, 7]])
    states, context = read_chains(BACKBONE, ids, torch.tensor([3]))
    tip = torch.tensor([[pads + 2]])
    return Prompt(states[:, -1:], tip, context, states, torch.tensor([pads]), tip, tip - pads + 1)


TEXT = torch.tensor([[[DRY, RED, HAIR, RED, RED, DRY, -1], [HAIR, -1, -1, -1, -1, -1, -1]]])
"""Three steps, the first with a word before its heading; and a text without any heading."""


@pytest.mark.parametrize(
    ("replaced", "first", "second"),
    [
        (0, [DRY, RED, HAIR, RED, RED, DRY], [HAIR]),
        (1, [RED, RED, DRY], []),
        (2, [RED, DRY], []),
        (3, [], []),
    ],
)
def test_steps_give_way_one_after_another(replaced: int, first: list[int], second: list[int]) -> None:
    found = loop(replaced=replaced).left_of(TEXT)
    assert [[token for token in row if token >= 0] for row in found[0].tolist()] == [first, second]
    assert loop(replaced=replaced, drop=True).left_of(TEXT).shape[-1] == 0


def test_a_heading_of_several_tokens() -> None:
    made = loop(heading="red dry")
    found = made.left_of(torch.tensor([[[RED, HAIR, RED, DRY, RED, RED, DRY, HAIR]]]))
    assert found.tolist() == [[[RED, DRY, HAIR, -1, -1, -1, -1, -1]]], "the second of two headings"


def read(state: Tensor, *tokens: int) -> list[Tensor]:
    states = []
    for token in tokens:
        state = BACKBONE.cell(state, BACKBONE.table[token])
        states.append(state)
    return states


def logp(state: Tensor, token: int) -> float:
    """Among the words and the end."""
    logits = {word: float(BACKBONE.head[word] @ state) for word in (RED, DRY, HAIR, CLOSE)}
    return logits[token] - math.log(sum(math.exp(value) for value in logits.values()))


@pytest.mark.parametrize("pads", [0, 2])
@pytest.mark.parametrize(
    ("replaced", "rest"), [(0, [DRY, RED, HAIR, RED, RED, DRY]), (2, [RED, DRY]), (3, [])]
)
@torch.no_grad()
def test_thoughts_then_words_then_the_answer(pads: int, replaced: int, rest: list[int]) -> None:
    """Two thoughts a step, each fed the state before it; every word and the end has its probability."""
    made, asked = loop(replaced=replaced, thoughts=2), prompt(pads)
    trace = made.spell(BACKBONE, asked, TEXT[:, :1])
    (state,) = read(asked.h0[0, 0], START)
    thoughts = []
    for _ in range(2 * replaced):
        state = BACKBONE.cell(state, state)
        thoughts.append(state)
    expected = []
    (state,) = read(state, LEFT)
    for token in (*rest, CLOSE):
        expected.append(logp(state, token))
        (state,) = read(state, token)
    torch.testing.assert_close(trace.last[0, 0], state)
    assert trace.mask.tolist() == [[[True] * 2 * replaced]]
    torch.testing.assert_close(trace.states[0, 0], torch.stack(thoughts) if thoughts else trace.states[0, 0])
    kept = trace.written[0, 0] >= 0
    assert trace.written[0, 0][kept].tolist() == [*rest, CLOSE]
    torch.testing.assert_close(trace.written_logp[0, 0][kept], torch.tensor(expected), atol=1e-5, rtol=1e-5)
    assert trace.depth.tolist() == [[2 * replaced + len(rest) + 1]]


@torch.no_grad()
def test_the_last_stage_leaves_no_words() -> None:
    made, asked = loop(replaced=1, drop=True), prompt()
    (state,) = read(asked.h0[0, 0], START)
    expected = read(BACKBONE.cell(state, state), LEFT, CLOSE)[-1]
    for trace in (
        made.spell(BACKBONE, asked, TEXT[:, :1]),
        made.run(BACKBONE, asked, torch.tensor([[1]]), 1),
    ):
        torch.testing.assert_close(trace.last[0, 0], expected)
        assert trace.written.tolist() == [[[CLOSE]]]
        assert not trace.written_logp.any(), "nothing was free to be written"


@torch.no_grad()
def test_what_is_written_greedily_is_read_again_as_it_is() -> None:
    """A heading in it gives way to nothing; a cut text is given its end; depth 0 answers at once."""
    for limit in (1, 3, 6):
        made, asked = loop(limit=limit), prompt(1)
        trace = made.run(BACKBONE, asked, torch.tensor([[1]]), 1)
        again = made.spell(BACKBONE, asked, trace.written)
        for name in ("last", "written", "written_logp", "depth"):
            torch.testing.assert_close(getattr(again, name), getattr(trace, name))
        words = [token for token in trace.written[0, 0].tolist() if token >= 0]
        (state,) = read(asked.h0[0, 0], START)
        (state,) = read(BACKBONE.cell(state, state), LEFT)
        for token in words[:-1]:
            assert token == max((RED, DRY, HAIR, CLOSE), key=lambda word: logp(state, word))
            (state,) = read(state, token)
        assert words[-1] == CLOSE
        assert len(words) <= limit + 1
    direct = made.run(BACKBONE, asked, torch.tensor([[0]]), 0)
    assert torch.equal(direct.last, asked.h0)
    assert torch.equal(made.spell(BACKBONE, asked, direct.written).last, asked.h0)


def test_the_term_is_the_mean_over_words_of_each_prompt() -> None:
    """Two words and one; a prompt without a text, and one that does not count, add nothing."""
    config = CATALOGUE.config_class("sft_objective", "remaining_steps").model_validate(
        {"use": "remaining_steps"}
    )
    made = CATALOGUE.build("sft_objective", config, Env())
    rows = torch.zeros(4, 1).long()
    counts = torch.tensor([[True], [True], [True], [False]])
    prompts = Prompts(rows, rows[:, 0] + 1, rows, counts, rows + 1, rows[:0, 0])
    text = torch.tensor([[RED, DRY], [RED, -1], [-1, -1], [RED, DRY]])[:, None]
    lesson = Lesson(prompts, rows[..., None], rationale=text)
    logps = torch.tensor([[-1.0, -3.0], [-0.5, 0.0], [0.0, 0.0], [-9.0, -9.0]])[:, None]
    trace = LatentTrace(
        logps[..., None], text >= 0, logps, rows, Context(), written=text, written_logp=logps
    )  # fmt: skip
    view: Any = SimpleNamespace(lesson=lesson, trace=trace)
    assert float(made.loss(view)) == pytest.approx(2.0 + 0.5)
    assert made.count(lesson, None) == 2


def test_steps_of_a_text_of_no_token() -> None:
    """As where no prompt of a batch has a text, and a heading is spelled by several tokens."""
    nothing = torch.zeros(2, 1, 0, dtype=torch.long)
    assert numbered(nothing, torch.tensor([7, 8, 9])).shape == nothing.shape
