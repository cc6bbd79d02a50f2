"""A model that stays as it was, with its weights among those of the module that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.chains import follow_inputs
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.vocabulary import LATENT_THOUGHT


class Assistant(nn.Module):
    """Reads the semantic IDs of a history and then the token `<|lat_t|>`, several times.

    Weights that a model uses twice (tied embeddings) are saved once.
    """

    def __init__(self, backbone: Any, tokens: Int[Tensor, "I M"], start: int | None) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.tokens, self.start = tokens, start
        self.slot = backbone.tokenizer.convert_tokens_to_ids(LATENT_THOUGHT)
        self.register_state_dict_post_hook(_without_twins)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_twins)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Assistant:
        """Stay in evaluation mode: it is never trained."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, shown: Int[Tensor, "B R H"], count: int) -> Float[Tensor, "B R count D"]:
        """Its states at `count` such tokens behind the items that each prompt shows.

        The prompts of a row show the first items of one history each, which is read once.
        """
        rows, branches, _ = shown.shape
        items = (shown >= 0).sum(-1)
        history = shown.amax(1)  # of the longest prompt, since the others are its beginnings
        ids = self.tokens.to(shown.device)[history.clamp_min(0)].flatten(1)
        real = (history >= 0).repeat_interleave(self.tokens.shape[1], dim=1)
        if self.start is not None:
            ids = torch.cat([torch.full_like(ids[:, :1], self.start), ids], dim=1)
            real = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
        context = None
        if ids.shape[1]:
            _, context = self.backbone.advance(self.backbone.embed(ids), chain_parents(real), None)
        tip = items * self.tokens.shape[1] + (0 if self.start is None else 1) - 1
        slots = self.backbone.embed(torch.full((rows, branches * count), self.slot, device=shown.device))
        return follow_inputs(self.backbone, slots.view(rows, branches, count, -1), tip, context)[0]


def _twins(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of weights that are an earlier one under another name, and that one's name."""
    first: dict[int, str] = {}
    for name, weight in (*module.named_parameters(remove_duplicate=False), *module.named_buffers()):
        if (known := first.setdefault(id(weight), name)) != name:
            yield name, known


def _without_twins(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name, _ in _twins(module):
        state.pop(prefix + name, None)


def _with_twins(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name, known in _twins(module):
        if prefix + known in state:
            state[prefix + name] = state[prefix + known]
