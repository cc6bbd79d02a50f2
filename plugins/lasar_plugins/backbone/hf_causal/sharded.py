"""Keys and values of a model whose weights are sharded over processes.

FSDP gathers a layer's weights for the backward pass when a gradient comes to the layer's *output*. Keys and
values leave it by the side: where nothing reads the last states of a pass, and later ones its keys, as a
thought does of a prompt, the last layer's weights would be wanted ungathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lasar_plugins.backbone.hf_causal.room import KeysValues


def announced(
    model: nn.Module, hidden: Float[Tensor, "B Q D"], layers: Sequence[KeysValues]
) -> tuple[KeysValues, ...]:
    """Keys and values as they are; where `model` is sharded, a gradient of theirs sends zeros ahead of itself
    to `hidden`, the states that left the last layer."""
    if not torch.is_grad_enabled() or not sharded(model):
        return tuple(layers)
    flat = [tensor for pair in layers for tensor in pair]
    found: Any = _Announced.apply(hidden, *flat)  # type: ignore[no-untyped-call]
    return tuple(zip(found[::2], found[1::2], strict=True))


def sharded(model: nn.Module) -> bool:
    """Whether FSDP2 holds its weights, which are then whole within a layer's own forward alone."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule  # takes a second

    return any(isinstance(part, FSDPModule) for part in model.modules())


class _Announced(torch.autograd.Function):
    """All but the first, as they are."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.like = hidden.new_zeros(()).expand_as(hidden)
        return tuple(tensor.view_as(tensor) for tensor in kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        return (ctx.like, *slopes)
