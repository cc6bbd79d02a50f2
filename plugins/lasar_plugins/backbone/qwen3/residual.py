"""Dropout of what each half of a layer adds to the residual stream."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout


def drop_out(model: Any, rate: float) -> None:
    """Have all layers of a Qwen3 drop out at this rate in training."""
    for layer in model.layers:
        for last in (layer.self_attn.o_proj, layer.mlp.down_proj):
            last.register_forward_hook(partial(_drop, rate))


def idle(hook: Any) -> bool:
    """Whether a forward hook is this one, which does nothing but in training."""
    return isinstance(hook, partial) and hook.func is _drop


def _drop(rate: float, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Drop out what a map gives, in the mode of that map, whichever model it was copied to."""
    return dropout(output, rate, module.training)
