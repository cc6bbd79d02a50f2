"""Pooled thoughts, parallel streams and looped depth, against whole forwards without a tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.chains import follow, read_chains
from lasar_kit.core.values import Env, Prompt
from lasar_kit.errors import UserError
from tests.closeness import assert_same

Make = Callable[..., Any]
CATALOGUE = Catalogue.discover()
CHAIN, LENGTHS = torch.tensor([[7, 7, 260, 261, 262], [261, 260, 262, 263, 260]]), torch.tensor([3, 5])
TIPS, DEPTH = torch.tensor([[2, 4, 3], [0, 2, 4]]), torch.tensor([[2, 0, 1], [1, 3, 2]])
TAIL, ANSWER = [259, 266], 264


def loop(use: str, width: int = 16, **options: Any) -> Any:
    """In float64, in evaluation mode; its weights moved away from where they start."""
    config = CATALOGUE.config_class("latent_loop", use).model_validate({"use": use, **options})
    made = CATALOGUE.build("latent_loop", config, Env(seed=2, hidden_size=width)).double().eval()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return made


def prompts(backbone: Any, tail: bool) -> Prompt:
    """Two rows of three prompts, one row with pads; the prompts may end in two tokens on a branch."""
    states, context = read_chains(backbone, CHAIN, LENGTHS)
    first, tip = 5 - LENGTHS, TIPS
    h0 = states.gather(1, TIPS[..., None].expand(-1, -1, 16))
    prompt = Prompt(h0, tip, context, states, first, TIPS, TIPS - first[:, None] + 1)
    if not tail:
        return prompt
    behind, tip, context = follow(backbone, torch.tensor(TAIL).expand(2, 3, -1), TIPS, context)
    return replace(prompt, h0=behind[:, :, -1], tip=tip, context=context, tail=behind)


def alone(backbone: Any, b: int, r: int, tail: bool) -> Tensor:
    """The embeddings of one prompt."""
    ids = CHAIN[b, 5 - LENGTHS[b] : TIPS[b, r] + 1].tolist()
    embedded: Tensor = backbone.model.get_input_embeddings().weight[ids + TAIL * tail]
    return embedded


def forward(backbone: Any, sequence: Tensor) -> Tensor:
    states: Tensor = backbone.model.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state
    return states[0]


def behind(backbone: Any, trace: Any) -> Tensor:
    """The states behind one token of an answer."""
    ids = torch.full((2, 3), ANSWER)
    state, context = backbone.advance(backbone.embed(ids), trace.tip, trace.context)
    if trace.between is not None:
        state, _, _ = trace.between(state, ids, context)
    return state


def answered(backbone: Any, sequence: Tensor) -> Tensor:
    return forward(backbone, torch.cat([sequence, backbone.model.get_input_embeddings().weight[[ANSWER]]]))[
        -1
    ]


def turned(x: Tensor, place: int) -> Tensor:
    """Coordinates i and i + 8 as one complex number, turned by place / 50^(i / 8)."""
    number = torch.complex(x[:8], x[8:]) * torch.exp(1j * place * 50.0 ** -(torch.arange(8).double() / 8))
    return torch.cat([number.real, number.imag])


@pytest.mark.parametrize("tail", [False, True])
@torch.no_grad()
def test_a_thought_pools_what_was_read(double: Make, tail: bool) -> None:
    """LatentR3: softmax of query and keys, turned by their places; the value's mean is the next input."""
    backbone, made = double(), loop("latentr3", base=50.0)
    trace = made.run(backbone, prompts(backbone, tail), DEPTH, 4)
    after = behind(backbone, trace)
    for b, r in product(range(2), range(3)):
        sequence = alone(backbone, b, r, tail)
        states = forward(backbone, sequence)
        found = []
        for _ in range(DEPTH[b, r]):
            query = turned(made.query @ states[-1] + made.bias[0], len(states) - 1)
            scores = [
                float(query @ turned(made.key @ h + made.bias[1], place)) / 4
                for place, h in enumerate(states)
            ]
            weights = torch.tensor(scores, dtype=torch.float64).softmax(0)
            fed = sum(w * (made.value @ h + made.bias[2]) for w, h in zip(weights, states, strict=True))
            sequence = torch.cat([sequence, fed[None]])  # type: ignore[index]
            states = torch.cat([states, forward(backbone, sequence)[-1:]])
            found.append(states[-1])
        assert_same(trace.states[b, r][trace.mask[b, r]], torch.stack(found) if found else states[:0])
        assert_same(trace.last[b, r], states[-1])
        assert_same(after[b, r], answered(backbone, sequence))


def test_rotary_positions_need_an_even_width() -> None:
    with pytest.raises(UserError, match="latent_loop latentr3: rotary positions need an even width, not 5"):
        loop("latentr3", width=5)


@pytest.mark.parametrize("scale", ["none", "embedding_rms"])
@torch.no_grad()
def test_streams_do_not_see_each_other_and_are_mixed(double: Make, scale: str) -> None:
    """PLR: each stream stands alone behind the prompt; what the gate mixes is added to every state."""
    backbone, made = double(), loop("plr", streams=3, feedback_scale=scale)
    trace = made.run(backbone, prompts(backbone, False), DEPTH, 4)
    after, norm = behind(backbone, trace), backbone.embedding_norm()
    for b, r in product(range(2), range(3)):
        sequence, depth = alone(backbone, b, r, False), int(DEPTH[b, r])
        h0 = forward(backbone, sequence)[-1]
        shares = torch.stack([gate @ h0 for gate in made.gate]).softmax(0)
        streams = []
        for trigger in made.triggers:
            state, chain, thoughts = h0 + trigger, sequence, []
            for step in range(depth):
                fed = state if scale == "none" else state / state.norm() * norm
                chain = torch.cat([chain, (fed + made.positions.weight[step])[None]])
                state = forward(backbone, chain)[-1]
                thoughts.append(state)
            streams.append(torch.stack(thoughts) if thoughts else sequence[:0])
        own = torch.stack(streams)
        assert_same(trace.streams[b, r][:, :depth], own)
        assert_same(trace.states[b, r][:depth], torch.einsum("k,ktd->td", shares, own))
        slow = sum(share * one.mean(0) for share, one in zip(shares, own, strict=True)) if depth else 0
        assert_same(trace.last[b, r], h0 + slow)
        assert_same(after[b, r], answered(backbone, sequence) + slow)


@pytest.mark.parametrize("tail", [False, True])
@torch.no_grad()
def test_every_step_reads_the_whole_prompt_again(double: Make, tail: bool) -> None:
    """LARES: T_i is read of LN(T_{i-1} + H), all positions at once; the answer follows the last reading."""
    backbone, made = double(), loop("lares")
    trace = made.run(backbone, prompts(backbone, tail), DEPTH, 4)
    after, norm = behind(backbone, trace), backbone.embedding_norm()
    for b, r in product(range(2), range(3)):
        sequence = alone(backbone, b, r, tail)
        first = forward(backbone, sequence)
        states, found = torch.zeros_like(first), []
        for _ in range(DEPTH[b, r]):
            total = states + first
            centred = total - total.mean(-1, keepdim=True)
            unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
            sequence = (unit * made.norm.weight + made.norm.bias) * norm / 4
            states = forward(backbone, sequence)
            found.append(states[-1])
        assert_same(trace.states[b, r][trace.mask[b, r]], torch.stack(found) if found else first[:0])
        assert_same(trace.last[b, r], found[-1] if found else first[-1])
        assert_same(after[b, r], answered(backbone, sequence))


@torch.no_grad()
def test_training_starts_from_noise(double: Make) -> None:
    backbone, made = double(), loop("lares", noise=0.5).train()
    one, two = (made.run(backbone, prompts(backbone, True), DEPTH, 3).last for _ in range(2))
    deep = DEPTH > 0
    assert ((one - two).abs().amax(-1) > 1e-3)[deep].all()
    assert torch.equal(one[~deep], two[~deep])
    still = loop("lares", noise=0.0).train()
    one, two = (still.run(backbone, prompts(backbone, True), DEPTH, 3).last for _ in range(2))
    assert torch.equal(one, two)
