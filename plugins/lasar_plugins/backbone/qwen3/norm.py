"""Qwen3's RMS norm in two kernels on GPUs, where transformers' own is six to eight, and more backwards.

An update of few rows waits for kernels to be launched (docs/gpu.md), and a layer has four norms. On CPUs the
numbers stay those of transformers, to the last bit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import rms_norm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm


class FusedRMSNorm(Qwen3RMSNorm):
    """The same norm and weight; in float32 at least, the weight applied to what is of the input's type."""

    def forward(self, hidden_states: Float[Tensor, "*S d"]) -> Float[Tensor, "*S d"]:
        """Divide each vector by its root mean square, and scale it."""
        if hidden_states.device.type == "cpu":
            return super().forward(hidden_states)
        return fused(self.weight, hidden_states, self.variance_epsilon)


def fused(weight: Float[Tensor, " d"], x: Float[Tensor, "*S d"], epsilon: float) -> Float[Tensor, "*S d"]:
    """The norm by torch's kernel, and its weight, which may be of a wider type than `x`."""
    place = x.device.type
    if not (torch.amp.is_autocast_available(place) and torch.is_autocast_enabled(place)):
        return weight * unit(x, epsilon)
    with torch.autocast(place, enabled=False):  # it would widen `x` by one more kernel
        return weight * unit(x, epsilon)


def unit(x: Float[Tensor, "*S d"], epsilon: float) -> Float[Tensor, "*S d"]:
    """Each vector over its root mean square, in the type of `x`, by torch's kernel."""
    return rms_norm(x, x.shape[-1:], eps=epsilon)


def fuse_norms(model: nn.Module) -> None:
    """Let all norms of a Qwen3 be of this class, in place."""
    for module in model.modules():
        if type(module) is Qwen3RMSNorm:
            module.__class__ = FusedRMSNorm
