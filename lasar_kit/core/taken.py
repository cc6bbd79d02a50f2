"""The log-probability of one token among very many, without matrices of all log-probabilities.

A softmax over a catalogue of thousands is bound by memory: of the logits of an update, softmax, temperature
and their backward passes make a dozen further matrices of the same size, each written to main memory, whose
pages are often given by the system anew. On CPUs all that is done for a few rows at a time, which stay in the
cache, and one matrix is written: the gradient of the logits. The numbers are those of the plain form, to the
last bit on one thread, since no row knows of another.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHED = 2**16
"""Numbers of a thread's share of rows at once: a quarter of a megabyte, of which some copies are at hand."""

FORBIDDEN = -1e30
"""Log-probability that stands for -inf."""


def taken(
    logits: Float[Tensor, "n C"], index: Int[Tensor, "n 1"], temperature: Float[Tensor, " n"] | None
) -> Float[Tensor, "n 1"]:
    """Log-probability, in float32, of token `index` of C that are all allowed, logits divided by
    `temperature`."""
    learned = temperature is not None and temperature.requires_grad
    if logits.device.type == "cpu" and not learned:
        found: Tensor = _Taken.apply(logits, index, temperature)  # type: ignore[no-untyped-call]
        return found
    return plainly(logits, index, temperature)


def plainly(
    logits: Float[Tensor, "n C"], index: Int[Tensor, "n 1"], temperature: Float[Tensor, " n"] | None
) -> Float[Tensor, "n 1"]:
    """`taken` of all rows at once, as accelerators compute it."""
    if temperature is not None:
        return tempered(normalised(logits), temperature).gather(-1, index)
    logits = logits.float()
    return logits.gather(-1, index) - logits.logsumexp(dim=-1, keepdim=True)


def normalised(logits: Float[Tensor, "n C"]) -> Float[Tensor, "n C"]:
    """Log-probabilities, in float32, where all tokens are allowed."""
    logits = logits.float()
    return logits - logits.logsumexp(dim=-1, keepdim=True)


def tempered(logp: Float[Tensor, "n C"], temperature: Float[Tensor, " n"]) -> Float[Tensor, "n C"]:
    """Log-distributions with their logits divided by a temperature; what is forbidden stays so."""
    bounded = logp.clamp_min(FORBIDDEN)  # -inf over a temperature that is learned has a gradient of NaN
    return (bounded / temperature[:, None].to(logp.dtype)).log_softmax(-1)


class _Taken(torch.autograd.Function):
    """`taken`, some rows at a time; the backward pass computes them again, from logits and the logarithm of
    each row's sum."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, temperature: Tensor | None) -> Tensor:
        total = logits.new_empty(len(logits), 1, dtype=torch.float32)
        logp = torch.empty_like(total)
        for rows in _shares(logits):
            some, among = logits[rows].float(), index[rows]
            total[rows] = some.logsumexp(dim=-1, keepdim=True)
            if temperature is None:
                logp[rows] = some.gather(-1, among) - total[rows]
            else:
                logp[rows] = tempered(some - total[rows], temperature[rows]).gather(-1, among)
        ctx.save_for_backward(logits, index, total, temperature)
        return logp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        logits, index, total, temperature = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for rows in _shares(logits):
            some, one_hot = logits[rows].float() - total[rows], index[rows]
            if temperature is None:
                found = some.exp_().mul_(-slope[rows]).scatter_add_(-1, one_hot, slope[rows])
            else:
                found = _cooled(some, one_hot, temperature[rows, None].float(), slope[rows])
            gradient[rows] = found
        return gradient, None, None


def _cooled(logp: Tensor, index: Tensor, temperature: Tensor, slope: Tensor) -> Tensor:
    """Gradient of logits through `normalised` and `tempered`; every operation of theirs, for the same bits.

    Of logits that are numbers nothing is so low as to be bounded.
    """
    heated = (logp / temperature).log_softmax(-1)
    ahead = torch.zeros_like(logp).scatter_(-1, index, slope)
    inner = torch._log_softmax_backward_data(ahead, heated, -1, heated.dtype).div_(temperature)
    outer = inner.sum(dim=-1, keepdim=True).neg_()
    return logp.exp_().mul_(outer).add_(inner)


def _shares(logits: Tensor) -> list[slice]:
    """Rows by as many as are at hand in the cache."""
    each = max(1, torch.get_num_threads() * CACHED // logits.shape[1])
    return [slice(start, start + each) for start in range(0, len(logits), each)]
