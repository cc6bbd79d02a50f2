"""A few tokens behind a context, without gradients: the layers of transformers' Qwen3 with less around them.

A thought is one token a row. At that size most of a forward in transformers goes into copying the cache to
add one token to it, and into many operations of a few microseconds. This one writes into a `Room`. The linear
maps are the model's own modules, whatever stands in their place.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import rms_norm

from lasar_plugins.backbone.hf_causal.attention import GROUPED_SDPA, grouped_sdpa
from lasar_plugins.backbone.hf_causal.room import KeysValues


def applies(model: Any, inputs: Tensor) -> bool:
    """Whether nothing is asked for that only transformers' own forward does."""
    return (
        not (torch.is_grad_enabled() or model.training or torch.is_autocast_enabled(inputs.device.type))
        and model.config._attn_implementation == GROUPED_SDPA
    )


def step(
    model: Any,
    inputs: Float[Tensor, "B Q D"],
    mask: Float[Tensor, "B 1 Q nodes"],
    position: Int[Tensor, "B Q"],
    fresh: Float[Tensor, "layers 2 B heads Q d"],
    layers: tuple[KeysValues, ...],
) -> Float[Tensor, "B Q D"]:
    """States after the final norm of Q tokens that see what `mask` leaves of `layers`.

    `layers` hold the context and, last, the places of these tokens, which are written through `fresh`.
    """
    cos, sin = (table[:, :, None] for table in model.rotary_emb(inputs, position))
    ahead, behind = sin.chunk(2, dim=-1)
    sin = torch.cat([-ahead, behind], dim=-1)
    hidden = inputs
    for layer, (new_keys, new_values), (keys, values) in zip(model.layers, fresh, layers, strict=True):
        attention = layer.self_attn
        x = _norm(layer.input_layernorm, hidden)
        heads = (*x.shape[:-1], -1, attention.head_dim)
        query = _rotate(_norm(attention.q_norm, attention.q_proj(x).view(heads)), cos, sin)
        key = _rotate(_norm(attention.k_norm, attention.k_proj(x).view(heads)), cos, sin)
        new_keys.copy_(key.transpose(1, 2))
        new_values.copy_(attention.v_proj(x).view(heads).transpose(1, 2))
        query = query.transpose(1, 2)
        mixed, _ = grouped_sdpa(attention, query, keys, values, mask, scaling=attention.scaling)
        hidden = hidden + attention.o_proj(mixed.flatten(2))
        hidden = hidden + layer.mlp(_norm(layer.post_attention_layernorm, hidden))
    return _norm(model.norm, hidden)


def _norm(norm: Any, x: Float[Tensor, "*S d"]) -> Float[Tensor, "*S d"]:
    """The model's RMS norm: in float32 at least, the weight applied in the type of `x`."""
    scaled: Tensor = norm.weight * rms_norm(x, norm.weight.shape, eps=norm.variance_epsilon)
    return scaled


def _rotate(
    x: Float[Tensor, "B Q heads d"], cos: Float[Tensor, "B Q 1 d"], sin: Float[Tensor, "B Q 1 d"]
) -> Float[Tensor, "B Q heads d"]:
    """Rotary positions: each half is turned with the other, `sin` holding the sign."""
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * sin
