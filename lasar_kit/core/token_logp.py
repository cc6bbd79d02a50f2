"""Log-probabilities of chosen tokens, a part of them at a time where all logits at once are too many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.taken import taken

CELLS = 2**28
"""Most logits at once, a GiB of float32."""

PART = 2**26
"""Logits of a part, where they are more than that at once."""


def token_logp(
    backbone: Backbone,
    states: Float[Tensor, "n D"],
    index: Int[Tensor, " n"],
    tokens: Int[Tensor, " C"] | None = None,
    temperature: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """Log-probability, in float32, of one token for each state: `index` among the C of `tokens`, or without
    them the token of that id among all; logits are divided by `temperature`, if given."""
    width = len(backbone.tokenizer) if tokens is None else len(tokens)

    def some(states: Tensor, index: Tensor, temperature: Tensor | None = None) -> Tensor:
        return taken(backbone.logits(states, tokens), index[:, None], temperature)[:, 0]

    return in_parts(some, width, states, index, *(() if temperature is None else (temperature,)))


def in_parts(score: Callable[..., Tensor], width: int, *rows: Tensor) -> Tensor:
    """`score` of tensors with n rows, for which it makes `width` logits a row.

    Where those are more than `CELLS`, it scores parts of `PART`, and keeps no logits for the backward pass,
    which computes them again.
    """
    if len(rows[0]) <= max(1, CELLS // width):
        return score(*rows)
    shares = zip(*(torch.split(tensor, max(1, PART // width)) for tensor in rows), strict=True)
    again = partial(checkpoint, score, use_reentrant=False, preserve_rng_state=False)
    return torch.cat([again(*share) for share in shares])
