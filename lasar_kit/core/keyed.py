"""Numbers that a key and a place decide: the same on any device, without a generator to wait for."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

GOLDEN, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""The odd constants of SplitMix64 (Steele et al. 2014), as signed numbers."""


def mixed(value: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """The finaliser of SplitMix64: every bit of the result hangs on every bit of the value."""
    value = value + GOLDEN
    value = (value ^ _shifted(value, 30)) * FIRST
    value = (value ^ _shifted(value, 27)) * SECOND
    return value ^ _shifted(value, 31)


def uniform(key: Int[Tensor, "*S"], count: int) -> Float64[Tensor, "*S count"]:
    """Numbers in [0, 1), so many for each key."""
    place = torch.arange(count, device=key.device)
    bits = _shifted(mixed(mixed(key)[..., None] + place), 11)
    return bits.double() * 2.0**-53


def below(numbers: Float64[Tensor, "*S"], bound: int) -> Int[Tensor, "*S"]:
    """Whole numbers from 0 up to `bound`, without it, of numbers in [0, 1)."""
    return (numbers * bound).long().clamp(max=bound - 1)


def by_weight(numbers: Float64[Tensor, " n"], weights: Float[Tensor, " K"]) -> Int[Tensor, " n"]:
    """Places of 0 .. K - 1, each as often as its weight."""
    bounds = weights.double().cumsum(0)
    return torch.searchsorted(bounds, numbers * bounds[-1], right=True).clamp(max=len(weights) - 1)


def _shifted(value: Int[Tensor, "*S"], bits: int) -> Int[Tensor, "*S"]:
    """To the right, zeros coming in."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
