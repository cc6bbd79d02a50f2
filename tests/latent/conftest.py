"""A backbone small enough to recompute every branch alone, and that recomputation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env, LatentTrace
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.latent_loop.coconut.config import CoconutConfig
from lasar_plugins.latent_loop.coconut.loop import CoconutLoop
from tests.closeness import in_float64

WIDTH = 16


def make_backbone(**options: object) -> Qwen3Backbone:
    sizes = {"hidden_size": WIDTH, "layers": 2, "heads": 4, "kv_heads": 2, "text_vocabulary": 259}
    config = Qwen3Config.model_validate({"use": "qwen3", **sizes, "initializer_std": 0.3, **options})
    return Qwen3Backbone(config, Env(seed=3, vocabulary=(*sid_tokens((4, 4)), *LATENT_TOKENS))).eval()


@dataclass(frozen=True)
class Branches:
    """Prompts of several rows, R branches each.

    Branch r of row b leaves behind token `tips[b][r]` of `rows[b]`, thinks `depth[b][r]` steps and then reads
    `answer[b][r]`. Rows are left-padded by `pads` tokens more than they need.
    """

    rows: Sequence[Sequence[int]]
    tips: Sequence[Sequence[int]]
    depth: Sequence[Sequence[int]]
    answer: Sequence[Sequence[Sequence[int]]]
    pads: int = 0

    def only(self, b: int, r: int) -> Branches:
        """One branch alone, unpadded, its prompt ending at the branch."""
        row, tip = self.rows[b], self.tips[b][r]
        return Branches([row[: tip + 1]], [[tip]], [[self.depth[b][r]]], [[self.answer[b][r]]])


@dataclass(frozen=True)
class Outcome:
    """The trace, and the states [B, R, M + 1, D] that predict the answer's tokens and what follows it."""

    trace: LatentTrace
    predictions: Tensor
    inputs: Tensor

    def thoughts(self, b: int, r: int) -> Tensor:
        return self.trace.states[b, r][self.trace.mask[b, r]]


def think(backbone: Qwen3Backbone, loop: CoconutLoop, case: Branches, surplus: int = 0) -> Outcome:
    """Read the prompts, run the loop, and read the answers one token at a time."""
    width = max(map(len, case.rows)) + case.pads
    ids = torch.tensor([[7] * (width - len(row)) + list(row) for row in case.rows])
    real = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in case.rows])
    inputs = backbone.embed(ids).detach().requires_grad_()
    states, context = backbone.advance(inputs, chain_parents(real), None)
    tip = torch.tensor(
        [[width - len(row) + t for t in tips] for row, tips in zip(case.rows, case.tips, strict=True)]
    )
    h0 = states.gather(1, tip[..., None].expand(-1, -1, states.shape[-1]))
    depth, shown = torch.tensor(case.depth), torch.tensor(case.tips) + 1
    prompt = replace(prompt_of(h0), tip=tip, context=context, items=shown)
    trace = loop.run(backbone, prompt, depth, int(depth.max()) + surplus)
    predictions, parent, context = [trace.last], trace.tip, trace.context
    answer = torch.tensor(case.answer)
    for m in range(answer.shape[-1]):
        node = context.length + torch.arange(answer.shape[1])
        state, context = backbone.advance(backbone.embed(answer[..., m]), parent, context)
        parent = node.expand(len(answer), -1)
        if trace.between is not None:
            state, parent, context = trace.between(state, parent, context)
        predictions.append(state)
    return Outcome(trace, torch.stack(predictions, dim=2), inputs)


def recompute(
    backbone: Qwen3Backbone, loop: CoconutLoop, prompt: Tensor, depth: int, answer: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Thoughts and predictions of one branch by whole forwards of the model, without cache, mask or tree."""
    config, table = loop.config, backbone.model.get_input_embeddings().weight

    def token(name: str) -> Tensor:
        return table[[backbone.tokenizer.get_vocab()[name]]]

    def forward(sequence: Tensor) -> Tensor:
        states: Tensor = backbone.model.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state
        return states[0]

    def fed(h: Tensor) -> Tensor:
        h = h.detach() if config.detach else h
        if config.feedback_scale == "embedding_rms":
            return h * table.detach().pow(2).sum(-1).sqrt().mean() / h.pow(2).sum().sqrt()
        if loop.projection is not None:
            mapped = loop.projection.linear.weight @ h
            return mapped / (mapped.pow(2).mean() + 1e-6).sqrt() * loop.projection.norm.weight
        return h

    sequence = torch.cat([prompt, token("<|lat_s|>")])
    h = forward(sequence)[-2 if config.h0 == "prompt_last" else -1]
    thoughts = []
    for _ in range(depth):
        sequence = torch.cat([sequence, fed(h)[None]])
        h = forward(sequence)[-1]
        thoughts.append(h)
    if config.exit == "e_token":
        sequence = torch.cat([sequence, token("<|lat_e|>")])
    elif config.exit == "hN_as_input":
        sequence = torch.cat([sequence, fed(h)[None]])
    states = forward(torch.cat([sequence, table[list(answer)]]))[len(sequence) - 1 :]
    return torch.stack(thoughts) if thoughts else prompt[:0], states


@cache
def _backbone(attention: str) -> Qwen3Backbone:
    return make_backbone(attention=attention)


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], Qwen3Backbone]:
    """A backbone in evaluation mode, by attention implementation."""
    return _backbone


@pytest.fixture(scope="session")
def fresh() -> Callable[..., Qwen3Backbone]:
    """Makes a backbone of its own, with these options."""
    return make_backbone


@cache
def _double(**options: object) -> Qwen3Backbone:
    backbone: Qwen3Backbone = in_float64(make_backbone(**options))
    return backbone


@pytest.fixture(scope="session")
def double() -> Callable[..., Qwen3Backbone]:
    """A backbone in evaluation mode, in float64 throughout, by its options."""
    return _double


@pytest.fixture(scope="session")
def coconut() -> Callable[..., CoconutLoop]:
    """Makes a loop with these options; a projection is moved away from where it starts."""

    def make(width: int = WIDTH, **options: object) -> CoconutLoop:
        config = CoconutConfig.model_validate({"use": "coconut", **options})
        loop = CoconutLoop(config, Env(hidden_size=width))
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            for weight in loop.parameters():
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
        return loop

    return make


@pytest.fixture(scope="session")
def case() -> Branches:
    """Two rows of different lengths and three branches each, of depths 0 to 4."""
    return Branches(
        rows=[[260, 261, 262, 263, 264, 265], [266, 261, 259]],
        tips=[[5, 3, 3], [2, 0, 1]],
        depth=[[2, 0, 4], [1, 3, 2]],
        answer=[[[260, 264], [261, 265], [262, 266]], [[263, 266], [260, 265], [261, 264]]],
        pads=2,
    )


@pytest.fixture(scope="session")
def run() -> Callable[..., Outcome]:
    """`think`."""
    return think


@pytest.fixture(scope="session")
def plain() -> Callable[..., tuple[Tensor, Tensor]]:
    """`recompute`."""
    return recompute


@pytest.fixture(scope="session")
def branches() -> type[Branches]:
    """`Branches`."""
    return Branches
