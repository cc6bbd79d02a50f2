"""Which kernels multiply matrices on a CPU.

On x86 torch multiplies float32 matrices by MKL, which does not use all that AMD's processors have. oneDNN,
which lies in the same torch, does: on an EPYC with AVX-512 its products take half the time.
`LASAR_KIT_MATMUL=onednn` has torch take it for all products of two float32 matrices, forwards and backwards.
Results differ by rounding, as on another processor.

MKL also lays a weight out anew for every product, which with few rows takes longer than the product. oneDNN
multiplies by weights that were laid out before (`pack`): for those who know that a weight stays as it is.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lasar_kit.errors import UserError, nearest

VARIABLE = "LASAR_KIT_MATMUL"
KERNELS = ("torch", "onednn")

LEAST = 1 << 16
"""Multiplications below which torch's own kernel stays: these take less than the way into Python."""

_taken: list[Any] = []
"""The registration, as long as it stands."""


def choose_kernels(variables: Mapping[str, str] | None = None) -> None:
    """Let this process multiply as the environment says; `UserError` for what it cannot."""
    variables = os.environ if variables is None else variables
    kernels = variables.get(VARIABLE, "") or "torch"
    if kernels not in KERNELS:
        raise UserError(f"{VARIABLE}={kernels} in the environment: {nearest(kernels, KERNELS)}")
    if kernels == "torch":
        take_torch()
    else:
        take_onednn()


def take_torch() -> None:
    """Give torch's own kernels back."""
    while _taken:
        _taken.pop()._destroy()


def take_onednn() -> None:
    """Take oneDNN's for float32 products on the CPU; `UserError` where this torch has none."""
    if _taken:
        return
    linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if linear is None or not torch.backends.mkldnn.is_available():
        raise UserError(f"{VARIABLE}=onednn in the environment: this torch is built without oneDNN; unset it")
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a kernel of torch's is replaced, as it is to be
        library.impl("mm", _mm(linear.default), "CPU")
        library.impl("addmm", _addmm(linear.default), "CPU")
    _taken.append(library)


def packs() -> bool:
    """Whether there are products by packed weights, as on x86, and `LASAR_KIT_MATMUL` is not `torch`."""
    there = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return there and hasattr(torch.ops.mkldnn, "_linear_pointwise") and os.environ.get(VARIABLE) != "torch"


def pack(weight: Tensor) -> Tensor:
    """A copy of a float32 weight [n, k] on the CPU, laid out for `packed_linear` alone."""
    laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return laid_out


def packed_linear(rows: Tensor, weight: Tensor) -> Tensor:
    """The product [m, n] of rows [m, k] and the transpose of a packed weight, without gradients."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(_dense(rows), weight, None, "none", [], "")
    return product


def _mm(linear: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """`aten::mm`, [m, k] by [k, n]."""

    def mm(left: Tensor, right: Tensor) -> Tensor:
        if not _suits(left, right):
            # The form with `out` is torch's own, which is not replaced.
            return torch.mm(left, right, out=left.new_empty(0))
        return linear(_dense(left), _dense(right).t(), None, "none", [], "")

    return mm


def _addmm(linear: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`aten::addmm`, which adds [n] for a linear map with a bias, or any other shape."""

    def addmm(added: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        bias = added.dim() == 1 and len(added) == right.shape[1] and added.dtype == left.dtype
        if not (bias and beta == 1 and alpha == 1 and _suits(left, right)):
            return torch.addmm(added, left, right, beta=beta, alpha=alpha, out=left.new_empty(0))
        return linear(_dense(left), _dense(right).t(), added, "none", [], "")

    return addmm


def _suits(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN takes them: [m, k] and [k, n], float32, in at least `LEAST` multiplications."""
    both = left.dtype == torch.float32 == right.dtype and left.dim() == 2 == right.dim()
    return both and left.shape[1] == right.shape[0] and left.shape[0] * right.numel() >= LEAST


def _dense(matrix: Tensor) -> Tensor:
    """Itself, or a copy where it is part of a larger one, which oneDNN would go through number by number."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()
