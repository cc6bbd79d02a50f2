"""Backbones that break their laws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lasar_kit.core.values import Env
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyBackbone
from lasar_kit.testing.tiny.backbone import Nodes

BROKEN: Saboteurs = {}


def _marks(first: int, count: int) -> Tensor:
    """Something to tell positions by."""
    return torch.sin(torch.arange(first, first + count) + 1.0)[:, None]


@breaks(BROKEN, "backbone", "a_path_is_read_as_if_it_stood_alone")
class PositionByArange(TinyBackbone):
    """Counts positions by the order in which tokens come."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        first = 0 if past is None else past.length
        return super().advance(inputs + _marks(first, inputs.shape[1]), parent, past)


@breaks(BROKEN, "backbone", "calls_may_be_cut_anywhere")
class PositionByCall(TinyBackbone):
    """Starts counting positions anew in each call."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        return super().advance(inputs + _marks(0, inputs.shape[1]), parent, past)


@breaks(BROKEN, "backbone", "past_is_left_as_it_was")
class GrowsThePast(TinyBackbone):
    """Appends to the context it was given."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        hidden, grown = super().advance(inputs, parent, past)
        if past is not None:
            object.__setattr__(past, "states", grown.states)
        return hidden, grown


@breaks(BROKEN, "backbone", "left_pads_change_nothing")
class SeesPads(TinyBackbone):
    """Takes the token before for the parent of a root."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        node = torch.arange(inputs.shape[1]) + (0 if past is None else past.length)
        return super().advance(inputs, torch.where(parent < 0, node - 1, parent), past)


@breaks(BROKEN, "backbone", "only_descendants_feel_a_token")
class SeesAll(TinyBackbone):
    """Lets a token see every token before it."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        _, grown = super().advance(inputs, parent, past)
        every = grown.states.cumsum(1)
        return every[:, -inputs.shape[1] :], Nodes(grown.states)


@breaks(BROKEN, "backbone", "order_of_tokens_is_felt")
class Bag(TinyBackbone):
    """Adds up what it reads."""

    def cell(self, before: Tensor, read: Tensor) -> Tensor:
        return before + read @ self.read


@breaks(BROKEN, "backbone", "a_chain_of_forty_tokens_is_read")
class ForgetsAfterThirty(TinyBackbone):
    """Reads a call's tokens anew from its thirty-first on."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        late = torch.arange(inputs.shape[1]) == 30
        return super().advance(inputs, parent.masked_fill(late, -1), past)


@breaks(BROKEN, "backbone", "gradients_run_through_the_context")
class CutsTheGraph(TinyBackbone):
    """Keeps what it read without its gradient."""

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> Any:
        hidden, grown = super().advance(inputs, parent, past)
        return hidden, Nodes(grown.states.detach())


@breaks(BROKEN, "backbone", "logits_of_some_tokens_are_those_of_all")
class SortsTokens(TinyBackbone):
    """Gives some tokens' logits in the order of their ids."""

    def logits(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        return super().logits(hidden, None if tokens is None else tokens.sort().values)


@breaks(BROKEN, "backbone", "vocabulary_is_held")
class AddsNoTokens(TinyBackbone):
    """Knows the tokens of its own alone."""

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__(config, replace(env, vocabulary=()))


@breaks(BROKEN, "backbone", "hidden_tokens_are_not_felt")
class ReadsWhatIsMasked(TinyBackbone):
    """Fills gaps of which it has read the tokens."""

    def fill(self, ids: Tensor, real: Tensor, masked: Tensor) -> Any:
        return super().fill(ids, real, torch.zeros_like(masked))


@breaks(BROKEN, "backbone", "embedding_norm_is_the_mean")
class NormOfTheMean(TinyBackbone):
    """Takes mean and norm in the other order."""

    def embedding_norm(self) -> Tensor:
        norm: Tensor = self.table.detach().mean(0).norm()
        return norm


@breaks(BROKEN, "backbone", "saved_backbone_is_restored")
class ForgetsItsHead(TinyBackbone):
    """Saves a head that was never trained."""

    def save(self, directory: Path) -> None:
        head, self.head = self.head, nn.Parameter(torch.zeros_like(self.head))
        super().save(directory)
        self.head = head
