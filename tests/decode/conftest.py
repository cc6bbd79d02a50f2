"""A stand-in language model whose logits are a plain function of the path, to redo a search by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.core.values import Context, LatentTrace


@dataclass(frozen=True)
class States(Context):
    """The state of every node read so far, [B, P]."""

    state: Tensor

    @property
    def length(self) -> int:
        return self.state.shape[1]


class PathModel:
    """State of a node: sin(1.7 * parent's state + 0.31 * token + 1); logits: 3 sin(state * (v + 1))."""

    hidden_size = 1

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary, self.tokenizer = vocabulary, range(vocabulary)
        self.calls: list[int] = []

    def embed(self, ids: Tensor) -> Tensor:
        return ids[..., None].double()

    def advance(self, inputs: Tensor, parent: Tensor, past: States | None) -> tuple[Tensor, States]:
        self.calls.append(inputs.shape[1])
        state = torch.zeros(len(inputs), 0).double() if past is None else past.state
        for q in range(inputs.shape[1]):
            node = parent[:, q : q + 1]
            before = torch.where(node < 0, 0.0, state.gather(1, node.clamp_min(0)) if state.shape[1] else 0.0)
            state = torch.cat([state, torch.sin(1.7 * before + 0.31 * inputs[:, q] + 1)], dim=1)
        return state[:, -inputs.shape[1] :, None], States(state)

    def logits(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        token = torch.arange(self.vocabulary) if tokens is None else tokens
        return 3 * torch.sin(hidden * (token + 1))

    def save(self, directory: Any) -> None:
        raise NotImplementedError

    def trace(self, prompts: Sequence[Sequence[int]], tips: Sequence[Sequence[int]]) -> LatentTrace:
        """Prompts read as chains, a branch at each of the R tips of a row."""
        ids = torch.tensor(prompts)
        parent = torch.arange(-1, ids.shape[1] - 1).expand_as(ids)
        hidden, context = self.advance(self.embed(ids), parent, None)
        tip = torch.tensor(tips)
        last = hidden.gather(1, tip[..., None])
        none = torch.zeros(*tip.shape, 0, dtype=torch.bool)
        return LatentTrace(last.new_zeros(*tip.shape, 0, 1), none, last, tip, context)

    def logp(self, path: Sequence[int], token: int, among: Sequence[int] | None = None) -> float:
        """Log-probability of a token after a path, over the whole vocabulary or `among` some tokens."""
        state = 0.0
        for read in path:
            state = math.sin(1.7 * state + 0.31 * read + 1)
        logit = [3 * math.sin(state * (v + 1)) for v in range(self.vocabulary)]
        rivals = range(self.vocabulary) if among is None else among
        return logit[token] - math.log(sum(math.exp(logit[v]) for v in rivals))


@pytest.fixture(scope="session")
def path_model() -> Callable[[int], PathModel]:
    """Makes a `PathModel` of so many tokens."""
    return PathModel
