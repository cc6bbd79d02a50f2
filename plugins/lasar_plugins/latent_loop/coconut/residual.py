"""The exit at which thinking costs nothing: what it adds to the answer starts at zero.

After zero-initialised residual branches (ReZero, Bachlechner et al. 2020, arXiv:2003.04887). The answer hangs
on the prompt's last token, as if there were no thoughts, and each state that predicts one of its tokens is
`s + W h_N`. With W = 0 these are the states of the model without thoughts, to the bit, at whatever depth; the
first update moves W, later ones the thoughts. An answer's tokens cannot see the thoughts: they reach all of
its levels by this sum alone, the same for each, since a node that they saw would move their attention from
the first update on.
"""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear


class Residual(nn.Module):
    """The map of the last thought, without a bias."""

    def __init__(self, width: int, std: float, seed: int) -> None:
        super().__init__()
        weight = torch.zeros(width, width)
        if std:
            # Salted: with the bare seed these would be multiples of the first weights that a backbone draws.
            generator = torch.Generator().manual_seed(zlib.crc32(f"residual exit {seed}".encode()))
            weight.normal_(0.0, std, generator=generator)
        self.weight = nn.Parameter(weight)

    def forward(self, h: Float[Tensor, "B R D"], thought: Bool[Tensor, "B R"]) -> Float[Tensor, "B R D"]:
        """What is added to a branch's states, nothing where it did not think; in the type of the states."""
        mapped = linear(h.to(self.weight.dtype), self.weight).to(h.dtype)
        return torch.where(thought[..., None], mapped, 0.0)
