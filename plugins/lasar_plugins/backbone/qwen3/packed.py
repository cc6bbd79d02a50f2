"""The linear maps of a Qwen3 packed, where the model only answers.

Packed weights are copies in the order in which a product of few rows reads them (`lasar_kit.process.matmul`),
and maps of one input are one product. They are made where nothing may ask for a gradient
(`torch.inference_mode`: validation, evaluation, serving), and anew where the weights have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP

from lasar_kit.process.matmul import pack, packed_linear, packs
from lasar_plugins.backbone.qwen3.residual import idle

LARGEST = 1 << 28
"""Most numbers that are copied: 1 GiB."""

LOOKED_AT = 8
"""Numbers of each weight that are compared: of what is written through `weight.data` torch counts nothing."""


@dataclass(frozen=True)
class OwnMaps:
    """The maps of a layer by its own modules, whatever stands in their place."""

    layer: Any

    def heads(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n E"]:
        """Queries, keys and values, one behind the other."""
        attention = self.layer.self_attn
        return torch.cat([maps(x) for maps in (attention.q_proj, attention.k_proj, attention.v_proj)], dim=-1)

    def out(self, mixed: Float[Tensor, "n E"]) -> Float[Tensor, "n D"]:
        """What attention mixed, as the layer adds it."""
        added: Tensor = self.layer.self_attn.o_proj(mixed)
        return added

    def mlp(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
        """The layer's MLP."""
        added: Tensor = self.layer.mlp(x)
        return added


class PackedMaps:
    """The same by packed weights, given in the order of `_NAMES`."""

    def __init__(self, weights: Sequence[Tensor], mlp: Any) -> None:
        q, k, v, out, gate, up, down = weights
        self._heads, self._out = pack(torch.cat([q, k, v])), pack(out)
        self._gate_up, self._down = pack(torch.cat([gate, up])), pack(down)
        self._mlp = mlp

    def heads(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n E"]:
        """Queries, keys and values, one behind the other."""
        return packed_linear(x, self._heads)

    def out(self, mixed: Float[Tensor, "n E"]) -> Float[Tensor, "n D"]:
        """What attention mixed, as the layer adds it."""
        return packed_linear(mixed, self._out)

    def mlp(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
        """The layer's MLP."""
        gate, up = packed_linear(x, self._gate_up).chunk(2, dim=-1)
        return packed_linear(self._mlp.act_fn(gate) * up, self._down)


@dataclass(frozen=True)
class _Packed:
    """The packed maps of a model, and what their weights were."""

    layers: tuple[PackedMaps, ...]
    marks: list[tuple[int, int]]
    looked_at: list[Tensor]
    seen: Tensor

    @classmethod
    def of(cls, model: Any, weights: Sequence[Sequence[Tensor]]) -> _Packed:
        """Packs the weights of each layer."""
        layers = [PackedMaps(own, layer.mlp) for own, layer in zip(weights, model.layers, strict=True)]
        some = [w.detach().flatten()[:: max(w.numel() // LOOKED_AT, 1)] for own in weights for w in own]
        return cls(tuple(layers), _marks(weights), some, torch.cat(some))

    def holds(self, weights: Sequence[Sequence[Tensor]]) -> bool:
        """Whether the weights are still those."""
        return _marks(weights) == self.marks and torch.equal(torch.cat(self.looked_at), self.seen)


_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_made: WeakKeyDictionary[nn.Module, _Packed] = WeakKeyDictionary()
"""By model, so that a copy of a model begins without."""


def maps_of(model: Any) -> Sequence[OwnMaps | PackedMaps]:
    """Return the maps of each layer.

    Packed in inference mode, where all are plain maps of float32 on a CPU and hold at most `LARGEST` numbers
    together; else the layers' own.
    """
    own = [OwnMaps(layer) for layer in model.layers]
    if not (torch.is_inference_mode_enabled() and packs() and all(_plain(layer) for layer in model.layers)):
        return own
    weights = [[linear.weight for linear in _linears(layer)] for layer in model.layers]
    if sum(weight.numel() for each in weights for weight in each) > LARGEST:
        return own
    made = _made.get(model)
    if made is None or not made.holds(weights):
        made = _made[model] = _Packed.of(model, weights)
    return made.layers


def _linears(layer: Any) -> list[Any]:
    """The linear maps of a layer, by `_NAMES`."""
    return [getattr(layer.self_attn if name in _NAMES[:4] else layer.mlp, name) for name in _NAMES]


def _plain(layer: Any) -> bool:
    """Whether nothing but products with its weights is asked for, and torch counts changes of these."""
    return (type(layer.mlp) is Qwen3MLP and _unwatched(layer.mlp)) and all(
        type(linear) is nn.Linear
        and linear.bias is None
        and _unwatched(linear)
        and linear.weight.dtype == torch.float32
        and linear.weight.device.type == "cpu"
        and not linear.weight.is_inference()
        for linear in _linears(layer)
    )


def _unwatched(module: nn.Module) -> bool:
    """Whether its forward is that of its class, and no hook is to see what goes in and comes out."""
    hooks = module._forward_pre_hooks or not all(map(idle, module._forward_hooks.values()))
    return not hooks and "forward" not in vars(module)


def _marks(weights: Sequence[Sequence[Tensor]]) -> list[tuple[int, int]]:
    """Where weights lie, and how often torch has written to them."""
    return [(weight.data_ptr(), weight._version) for own in weights for weight in own]
