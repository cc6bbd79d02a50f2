"""The residual exit: at first the answers without thoughts, then these plus a map of the last thought."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.core.chains import read_chains
from lasar_kit.core.values import Env, LatentTrace, Prompt, SidTable
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.model.recommender import Recommender
from lasar_plugins.backbone.sasrec.backbone import SasRec
from lasar_plugins.backbone.sasrec.config import SasRecConfig
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.latent_loop.coconut.config import CoconutConfig
from lasar_plugins.latent_loop.coconut.loop import CoconutLoop
from lasar_plugins.latent_loop.none.config import NoLoopConfig
from lasar_plugins.latent_loop.none.loop import NoLoop
from tests.closeness import assert_same

Make = Callable[..., Any]
NONE = NoLoop(NoLoopConfig(use="none"), Env())


def residual(width: int, **options: Any) -> CoconutLoop:
    config = CoconutConfig.model_validate({"use": "coconut", "exit": "residual", **options})
    return CoconutLoop(config, Env(hidden_size=width))


def sasrec(codes: tuple[int, ...]) -> SasRec:
    config = SasRecConfig(use="sasrec", hidden_size=16, initializer_std=0.3)
    return SasRec(config, Env(seed=5, vocabulary=(*sid_tokens(codes), *LATENT_TOKENS))).eval()


def catalogue(backbone: Any, codes: tuple[int, ...]) -> SidTable:
    """Every SID that the codes make."""
    names = [
        [f"<{'abc'[level]}_{code}>" for level, code in enumerate(sid)] for sid in product(*map(range, codes))
    ]
    return SidTable(torch.tensor([backbone.tokenizer.convert_tokens_to_ids(sid) for sid in names]))


def prompt_of(backbone: Any, table: SidTable) -> Prompt:
    """Two rows of three prompts each."""
    chain = table.tokens.flatten()[:6]
    ids = torch.stack([chain, chain.flip(0)])
    states, context = read_chains(backbone, ids, torch.tensor([6, 4]))
    tip, first = torch.tensor([[1, 3, 5], [3, 4, 5]]), torch.tensor([0, 2])
    h0 = states.gather(1, tip[..., None].expand(-1, -1, states.shape[-1]))
    return Prompt(h0, tip, context, states, first, tip, tip - first[:, None] + 1)


def searched(backbone: Any, trace: LatentTrace, table: SidTable) -> Any:
    decoder = TrieBeam(TrieBeamConfig(use="trie_beam", score="trie"), Env())
    decoder.bind(table)
    return decoder.search(backbone, trace, 50)


@pytest.mark.parametrize("scale", ["none", "embedding_rms", "projection"])
@pytest.mark.parametrize("codes", [(11,), (3, 4), (2, 2, 3)])
@pytest.mark.parametrize("steps", range(5))
@torch.no_grad()
def test_it_begins_with_the_answers_of_no_thoughts_to_the_bit(
    codes: tuple[int, ...], steps: int, scale: str
) -> None:
    """Items, scores, and what predicts an answer in training, at every depth."""
    backbone = sasrec(codes)
    table = catalogue(backbone, codes)
    prompt, loop = prompt_of(backbone, table), residual(16, feedback_scale=scale)
    depth = torch.tensor([[steps, 0, steps], [max(steps - 1, 0), steps, steps]])
    plain, thought = NONE.run(backbone, prompt, depth, steps), loop.run(backbone, prompt, depth, steps)
    assert thought.mask.sum(-1).tolist() == depth.tolist()
    expected, found = (searched(backbone, trace, table) for trace in (plain, thought))
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.logp, expected.logp)
    taught: Any = SimpleNamespace(backbone=backbone)
    answers = table.tokens[torch.tensor([[0, 3, 5], [7, 2, 1]])]
    states = [Recommender.answer_states(taught, trace, answers) for trace in (plain, thought)]
    # Several tokens are fed one by one here and in one block there, which rounds differently.
    torch.testing.assert_close(states[1], states[0], atol=1e-6, rtol=1e-5)
    assert torch.equal(states[1][:, :, 0], states[0][:, :, 0])


@torch.no_grad()
def test_a_map_of_the_last_thought_is_added_at_each_level(
    double: Make, case: Any, plain: Make, run: Make
) -> None:
    """Against whole forwards: of the thoughts with `<|lat_s|>`, of the answer without either."""
    backbone, loop = double(), residual(16, residual_std=0.3, feedback_scale="embedding_rms").double()
    outcome = run(backbone, loop, case, surplus=1)
    weight = loop.residual.weight  # type: ignore[union-attr]
    table = backbone.model.get_input_embeddings().weight
    for b, r in product(range(2), range(3)):
        only = case.only(b, r)
        prompt = backbone.embed(torch.tensor(only.rows[0]))
        thoughts, _ = plain(backbone, loop, prompt, only.depth[0][0], only.answer[0][0])
        sequence = torch.cat([prompt, table[list(only.answer[0][0])]])
        states = backbone.model.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state[0]
        expected = states[len(prompt) - 1 :]
        if only.depth[0][0]:
            expected = expected + weight @ thoughts[-1]
        assert_same(outcome.thoughts(b, r), thoughts)
        assert_same(outcome.predictions[b, r], expected)


@torch.no_grad()
def test_all_answers_behind_a_branch_get_its_thought() -> None:
    """Three answers behind the only branch of a row, as in RL, are as one behind each of three branches."""
    backbone = sasrec((3, 4))
    table = catalogue(backbone, (3, 4))
    prompt, loop = prompt_of(backbone, table), residual(16, residual_std=0.3)
    taught: Any = SimpleNamespace(backbone=backbone)
    answers = table.tokens[torch.tensor([[0, 3, 5], [7, 2, 1]])]
    depth = torch.tensor([[2, 2, 2], [1, 1, 1]])
    for branch in range(3):
        one = Prompt(
            prompt.h0[:, branch : branch + 1], prompt.tip[:, branch : branch + 1], prompt.context,
            prompt.states, prompt.first, prompt.ends[:, :1], prompt.items[:, :1],
        )  # fmt: skip
        trace = loop.run(backbone, one, depth[:, :1], 2)
        found = Recommender.answer_states(taught, trace, answers)
        every: Tensor = Recommender.answer_states(taught, loop.run(backbone, prompt, depth, 2), answers)
        torch.testing.assert_close(found[:, branch], every[:, branch], atol=1e-5, rtol=1e-5)


def test_the_map_learns_first_and_the_thoughts_after_it() -> None:
    backbone = sasrec((11,))
    loop = residual(16, feedback_scale="projection")
    prompt = prompt_of(backbone, catalogue(backbone, (11,)))
    loss = loop.run(backbone, prompt, torch.full((2, 3), 2), 2).last.sin().sum()
    found = dict(
        zip(dict(loop.named_parameters()), torch.autograd.grad(loss, loop.parameters()), strict=True)
    )
    assert found["residual.weight"].any()
    assert not found["projection.linear.weight"].any()
    with torch.no_grad():
        loop.residual.weight.sub_(0.1 * found["residual.weight"])  # type: ignore[union-attr]
    loss = loop.run(backbone, prompt_of(backbone, catalogue(backbone, (11,))), torch.full((2, 3), 2), 2)
    assert torch.autograd.grad(loss.last.sin().sum(), loop.projection.parameters())[0].any()  # type: ignore[union-attr]
