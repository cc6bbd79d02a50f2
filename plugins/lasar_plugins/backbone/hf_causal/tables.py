"""Input and output embeddings as the backbone reads them, whether or not some rows are trained apart.

Where they are, peft's own forward copies the whole matrix to put these rows in, once a call and again in the
backward pass; a thought, or a level of a beam search, is a call on a few tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from peft.utils.other import TrainableTokensWrapper
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

ADAPTER = "default"
"""The name under which peft keeps the one adapter of a model."""


def note_places(table: nn.Module) -> None:
    """Let a matrix with trained rows know, as tensors, which tokens they are: the functions below need it."""
    adapter: Any = table.token_adapter
    ids = torch.tensor(adapter.token_indices[ADAPTER])
    place = torch.full((len(adapter.base_layer.weight),), -1)
    place[ids] = torch.arange(len(ids))
    adapter.register_buffer("ids", ids, persistent=False)
    adapter.register_buffer("place", place, persistent=False)  # the inverse: -1 for tokens not trained


def embed(table: nn.Module, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
    """Rows of the input embeddings."""
    if not isinstance(table, TrainableTokensWrapper):
        embedded: Tensor = table(ids)
        return embedded
    rows, scale = _rows(table, ids), _scale(table)
    return rows if scale is None else rows * scale


def project(
    head: nn.Module, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None
) -> Float[Tensor, "*S V"]:
    """Products of states with the rows of the output embeddings, all of them or those of `tokens`.

    A bias, where the head has one, is added.
    """
    wrapped = isinstance(head, TrainableTokensWrapper)
    plain: Any = _parts(head)[2].base_layer if wrapped else head
    if tokens is not None:
        weight: Tensor = _rows(head, tokens) if wrapped else plain.weight[tokens]
        some = hidden @ weight.T
        return some if plain.bias is None else some + plain.bias[tokens]
    if not wrapped:
        logits: Tensor = head(hidden)
        return logits
    base, trained, adapter = _parts(head)
    own = linear(
        hidden, trained.to(base.dtype), plain.bias if plain.bias is None else plain.bias[adapter.ids]
    )
    return linear(hidden, base, plain.bias).index_copy(-1, adapter.ids, own)


def norms(table: nn.Module) -> Float[Tensor, " V"]:
    """Norms of all embeddings that `embed` gives, without gradient."""
    scale = _scale(table)
    if isinstance(table, TrainableTokensWrapper):
        base, trained, adapter = _parts(table)
        lengths = _norms(base).index_copy(0, adapter.ids, _norms(trained))
    else:
        lengths = _norms(table.weight)
    return lengths if scale is None else lengths * scale.to(lengths.dtype)


def _scale(table: nn.Module) -> Tensor | None:
    """Return the factor of Gemma's input embeddings, in the type of their rows; None of all others."""
    plain: Any = _parts(table)[2].base_layer if isinstance(table, TrainableTokensWrapper) else table
    scale: Tensor | None = getattr(plain, "embed_scale", None)
    return None if scale is None else scale.to(plain.weight.dtype)


def _norms(table: Any) -> Float[Tensor, " V"]:
    wide = torch.promote_types(table.dtype, torch.float32)
    lengths: Tensor = torch.linalg.vector_norm(table.detach(), dim=-1, dtype=wide)
    return lengths


def _parts(table: nn.Module) -> tuple[Tensor, Tensor, Any]:
    """The frozen matrix, the rows trained apart, and peft's module that holds both."""
    adapter: Any = table.token_adapter
    return adapter.base_layer.weight, adapter.trainable_tokens_delta[ADAPTER], adapter


def _rows(table: nn.Module, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
    base, trained, adapter = _parts(table)
    place = adapter.place[ids]
    own = embedding(place.clamp_min(0), trained).to(base.dtype)
    return torch.where((place >= 0)[..., None], own, embedding(ids, base))
