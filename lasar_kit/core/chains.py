"""Chains of tokens: padded on the left, begun by a start token, read behind one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Context
from lasar_kit.errors import UserError


def start_token(tokenizer: Any, place: str = "a text") -> int:
    """The token that texts begin with, BOS or else EOS; `UserError`, begun with `place`, without both."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UserError(f"{place} begins with a start token, and the tokenizer has neither BOS nor EOS")


def starts_texts(tokenizer: Any) -> bool:
    """Whether the tokenizer puts its BOS token before any text; Llama 3 and Gemma have read none without."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def left_padded(
    rows: Sequence[Int[np.ndarray, " L"]], fill: int
) -> tuple[Int[Tensor, "B L"], Int[Tensor, " B"]]:
    """Rows as one tensor, each at the right edge behind `fill`; and their lengths."""
    width = max(map(len, rows))
    ids = np.full((len(rows), width), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, width - len(row) :] = row
    return torch.from_numpy(ids), torch.tensor([len(row) for row in rows])


def opened(
    ids: Int[Tensor, "B L"], lengths: Int[Tensor, " B"], token: int
) -> tuple[Int[Tensor, "B longer"], Int[Tensor, " B"]]:
    """Return left-padded chains and their lengths with one more token behind each."""
    return torch.cat([ids, ids.new_full((len(ids), 1), token)], dim=1), lengths + 1


def read_chains(
    backbone: Backbone, ids: Int[Tensor, "B L"], lengths: Int[Tensor, " B"]
) -> tuple[Float[Tensor, "B L D"], Context]:
    """Read left-padded chains from the start: their states, and the context they leave."""
    width = ids.shape[1]
    real = torch.arange(width, device=ids.device) >= width - lengths[:, None]
    return backbone.advance(backbone.embed(ids), chain_parents(real), None)


def follow(
    backbone: Backbone, ids: Int[Tensor, "B R Q"], tip: Int[Tensor, "B R"], context: Context
) -> tuple[Float[Tensor, "B R Q D"], Int[Tensor, "B R"], Context]:
    """Read a chain of tokens behind each tip; their states, the new tips, the grown context."""
    rows, branches, count = ids.shape
    inputs = backbone.embed(ids.reshape(rows, -1)).view(rows, branches, count, -1)
    states, node, context = follow_inputs(backbone, inputs, tip, context)
    return states, node[..., -1], context


def follow_inputs(
    backbone: Backbone, inputs: Float[Tensor, "B R Q D"], tip: Int[Tensor, "B R"], past: Context | None
) -> tuple[Float[Tensor, "B R Q D"], Int[Tensor, "B R Q"], Context]:
    """Read a chain of inputs behind each tip, -1 for none; states, nodes, the grown context."""
    rows, branches, count, _ = inputs.shape
    first = 0 if past is None else past.length
    node = first + torch.arange(branches * count, device=tip.device).view(branches, count)
    parent = torch.cat([tip[..., None], node[:, :-1].expand(rows, -1, -1)], dim=-1)
    states, context = backbone.advance(inputs.flatten(1, 2), parent.flatten(1), past)
    return states.view(rows, branches, count, -1), node.expand(rows, -1, -1), context
