"""One measure of closeness for two computations of the same numbers, on any processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RMSNorm

ROUNDING = 1e-12
"""Difference allowed in float64, as a share of the largest number.

How sums are ordered, and so how they are rounded, differs from one processor to the next. The models of
the tests are small and of large weights (a standard deviation of 0.3), and a loop feeds their states back:
together they amplify rounding about a thousandfold. In float32, where a step rounds at 6e-8, two sound
computations then differ by up to 1e-4, as much as some errors would make. In float64, where a step rounds at
1.1e-16, they differ by about 1e-13, a tenth of what is allowed, and a wrong mask, position or scale differs
by 1e-4 and more.
"""


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Assert that two float64 tensors differ by rounding alone, at most `ROUNDING` of the largest number."""
    assert actual.dtype == expected.dtype == torch.float64
    largest = float(expected.detach().abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(actual, expected, atol=ROUNDING * largest, rtol=0)


class _WideSoftmax(TorchFunctionMode):
    """Keeps a softmax of float64 in float64, where float32 is asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func is torch.nn.functional.softmax and args[0].dtype == torch.float64:
            options.pop("dtype", None)
        return func(*args, **options)


def _attention(forward: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with _WideSoftmax():
        return forward(*args, **options)


def _norm(module: Qwen3RMSNorm, x: Tensor) -> Tensor:
    return module.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon)


def in_float64(backbone: Any) -> Any:
    """The same backbone in float64 throughout.

    Qwen3's own RMS norm would cast to float32 on the way, and so would the softmax of eager attention.
    """
    for module in backbone.modules():
        if isinstance(module, Qwen3RMSNorm):
            module.__dict__["forward"] = partial(_norm, module)
        elif isinstance(module, Qwen3Attention):
            module.__dict__["forward"] = partial(_attention, module.forward)
    return backbone.double()
