"""Loops and decoders at work on the tiny backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.capabilities import Halts
from lasar_kit.core.interfaces import LatentLoop
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import LatentTrace, Prompt
from lasar_kit.testing.strategies import Thinking
from lasar_kit.testing.tiny import TinyBackbone


@dataclass(frozen=True)
class Read:
    """Prompts that were read, and the input embeddings they were read from."""

    prompt: Prompt
    inputs: Float[Tensor, "B L D"]


@dataclass(frozen=True)
class Outcome:
    """A trace, and the states that predict the answer's first token and what follows it, `[B, R, 2, D]`."""

    trace: LatentTrace
    predictions: Float[Tensor, "B R 2 D"]
    inputs: Float[Tensor, "B L D"]

    def thoughts(self, b: int, r: int) -> Float[Tensor, "n D"]:
        """A branch's own thoughts."""
        return self.trace.states[b, r][self.trace.mask[b, r]]


def read_prompts(backbone: Any, case: Thinking) -> Read:
    """Read the prompts of a case."""
    ids, real, tip = case.ids()
    inputs = backbone.embed(ids).detach().requires_grad_()
    states, context = backbone.advance(inputs, chain_parents(real), None)
    h0 = states.gather(1, tip[..., None].expand(-1, -1, states.shape[-1]))
    first = ids.shape[1] - real.sum(-1)
    return Read(Prompt(h0, tip, context, states, first, tip, tip - first[:, None] + 1), inputs)


def think(backbone: Any, loop: LatentLoop, case: Thinking, told: bool = False) -> Outcome:
    """Read the prompts, run the loop, and read one token of each answer; a loop that halts may be `told` to
    think just as long as the case says."""
    read = read_prompts(backbone, case)
    run = loop.halted if told and isinstance(loop, Halts) else loop.run
    return answered(backbone, run(backbone, read.prompt, torch.tensor(case.depth), case.steps), case, read)


def answered(backbone: Any, trace: LatentTrace, case: Thinking, read: Read) -> Outcome:
    """Hang one token of each answer on a trace."""
    state, context = backbone.advance(backbone.embed(torch.tensor(case.answer)), trace.tip, trace.context)
    if trace.between is not None:
        node = trace.context.length + torch.arange(state.shape[1]).expand_as(trace.tip)
        state, _, _ = trace.between(state, node, context)
    return Outcome(trace, torch.stack([trace.last, state], dim=2), read.inputs)


class Tampered:
    """The tiny backbone, the new states of one call of `advance` moved; keeps what each call gave to which
    nodes, the first of them first."""

    def __init__(self, inner: TinyBackbone, call: int | None = None) -> None:
        self.inner, self.call = inner, call
        self.given: list[Tensor] = []
        self.first: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        hidden, context = self.inner.advance(inputs, parent, past)
        if len(self.given) == self.call:
            hidden = hidden + 0.5
            before = context.states[:, : -inputs.shape[1]]
            context = type(context)(torch.cat([before, hidden], dim=1))
        self.given.append(hidden.detach())
        self.first.append(0 if past is None else past.length)
        return hidden, context

    def nodes(self, row: int, state: Tensor) -> list[int]:
        """The nodes of a row at which it gave this state, ascending."""
        calls = zip(self.first, self.given, strict=True)
        same = [first + (given[row] == state).all(-1).nonzero()[:, 0] for first, given in calls]
        return sorted({int(node) for nodes in same for node in nodes})
