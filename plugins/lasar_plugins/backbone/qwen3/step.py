"""A few tokens behind a context, without gradients: the layers of transformers' Qwen3 with less around them.

A thought is one token a row. At that size most of a forward in transformers goes into copying the cache to
add one token to it, and into many operations of a few microseconds. This one writes into a `Room`. The linear
maps are the model's own modules, whatever stands in their place, or those packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_plugins.backbone.hf_causal.attention import GROUPED_SDPA, grouped_sdpa
from lasar_plugins.backbone.hf_causal.room import KeysValues
from lasar_plugins.backbone.hf_causal.sharded import sharded
from lasar_plugins.backbone.qwen3.norm import unit
from lasar_plugins.backbone.qwen3.packed import OwnMaps, PackedMaps, maps_of


def applies(model: Any, inputs: Tensor) -> bool:
    """Whether nothing is asked for that only transformers' own forward does."""
    return (
        not (torch.is_grad_enabled() or model.training or torch.is_autocast_enabled(inputs.device.type))
        and model.config._attn_implementation == GROUPED_SDPA
        and not sharded(model)
    )


@dataclass(frozen=True)
class Weights:
    """What a step reads of a model's weights, found once for all steps behind one context."""

    maps: Sequence[OwnMaps | PackedMaps]
    scales: Float[Tensor, "layers heads d"]

    @classmethod
    def of(cls, model: Any) -> Weights:
        """Those of a Qwen3 as it is now."""
        return cls(maps_of(model), _scales(model))


def step(
    model: Any,
    weights: Weights,
    inputs: Float[Tensor, "B Q D"],
    mask: Float[Tensor, "B 1 Q nodes"],
    position: Int[Tensor, "B Q"],
    fresh: Float[Tensor, "layers 2 B heads Q d"],
    layers: tuple[KeysValues, ...],
) -> Float[Tensor, "B Q D"]:
    """States after the final norm of Q tokens that see what `mask` leaves of `layers`.

    `layers` hold the context and then the places of these tokens, which are written through `fresh`; places
    behind those are seen by none.
    """
    batch, count, width = inputs.shape
    cos, sin = (table.flatten(0, 1)[:, None] for table in model.rotary_emb(inputs, position))
    ahead, behind = sin.chunk(2, dim=-1)
    sin = torch.cat([-ahead, behind], dim=-1)
    hidden = inputs.reshape(-1, width)
    for layer, maps, scale, (new_keys, new_values), (keys, values) in zip(
        model.layers, weights.maps, weights.scales, fresh, layers, strict=True
    ):
        attention, kv_heads = layer.self_attn, new_keys.shape[1]
        # Queries and keys are normed alike, but for the weights, and turned alike: all heads at once.
        heads = maps.heads(_norm(layer.input_layernorm, hidden)).view(len(hidden), -1, attention.head_dim)
        normed, value = heads[:, :-kv_heads], heads[:, -kv_heads:]
        turned = _rotate(scale * _unit(normed, attention.q_norm), cos, sin)
        turned = turned.view(batch, count, *turned.shape[1:]).transpose(1, 2)
        query, key = turned[:, :-kv_heads], turned[:, -kv_heads:]
        new_keys.copy_(key)
        new_values.copy_(value.view(batch, count, kv_heads, -1).transpose(1, 2))
        mixed, _ = grouped_sdpa(attention, query, keys, values, mask, scaling=attention.scaling)
        hidden = hidden + maps.out(mixed.view(len(hidden), -1))
        hidden = hidden + maps.mlp(_norm(layer.post_attention_layernorm, hidden))
    return _norm(model.norm, hidden).view(inputs.shape)


def _scales(model: Any) -> Float[Tensor, "layers heads d"]:
    """The weights of the norms of all query heads and then all key heads, layer by layer."""

    def of(name: str, heads: int) -> Float[Tensor, "layers heads d"]:
        norms = [getattr(layer.self_attn, name) for layer in model.layers]
        return torch.stack([norm.weight for norm in norms])[:, None].expand(-1, heads, -1)

    config = model.config
    each = of("q_norm", config.num_attention_heads), of("k_norm", config.num_key_value_heads)
    return torch.cat(each, dim=1)


def _norm(norm: Any, x: Float[Tensor, "*S d"]) -> Float[Tensor, "*S d"]:
    """The model's RMS norm: in float32 at least, the weight applied in the type of `x`."""
    scaled: Tensor = norm.weight * _unit(x, norm)
    return scaled


def _unit(x: Float[Tensor, "*S d"], norm: Any) -> Float[Tensor, "*S d"]:
    """That norm without its weight. On CPUs torch's own is made of more operations to the same numbers."""
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        return x * (x * x).mean(-1, keepdim=True).add_(norm.variance_epsilon).rsqrt_()
    return unit(x, norm.variance_epsilon)


def _rotate(
    x: Float[Tensor, "n heads d"], cos: Float[Tensor, "n 1 d"], sin: Float[Tensor, "n 1 d"]
) -> Float[Tensor, "n heads d"]:
    """Rotary positions: each half is turned with the other, `sin` holding the sign."""
    ahead, behind = x.chunk(2, dim=-1)
    return x * cos + torch.cat([behind, ahead], dim=-1) * sin
