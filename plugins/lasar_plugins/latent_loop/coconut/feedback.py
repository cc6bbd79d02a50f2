"""How a state becomes an input: states after the final norm are many times as long as embeddings."""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils import skip_init

EPSILON = 1e-6
"""Added to a mean square under a root."""


def rescale(h: Float[Tensor, "*S D"], norm: Float[Tensor, ""]) -> Float[Tensor, "*S D"]:
    """States of length `norm`, their direction kept; computed in float32 at least."""
    wide = h.to(torch.promote_types(h.dtype, torch.float32))
    return (nn.functional.normalize(wide, dim=-1) * norm).to(h.dtype)


NUMBERED = 16
"""Thoughts with an embedding of their own."""


class StepEmbedding(nn.Module):
    """A learned vector for each thought; those past the last one share it."""

    def __init__(self, width: int, seed: int, count: int = NUMBERED, std: float = 0.02) -> None:
        super().__init__()
        # Salted: with the bare seed these would be multiples of the first weights that a backbone draws.
        generator = torch.Generator().manual_seed(zlib.crc32(f"step embedding {seed}".encode()))
        self.weight = nn.Parameter(std * torch.randn(count, width, generator=generator))

    def forward(self, step: int | Int[Tensor, "B R"]) -> Float[Tensor, "*S D"]:
        """That of thought `step + 1`, of each branch where they differ."""
        most = len(self.weight) - 1
        row: Tensor = self.weight[step.clamp_max(most) if isinstance(step, Tensor) else min(step, most)]
        return row


class Projection(nn.Module):
    """A linear map and an RMS norm, both learned.

    It starts as a mere rescaling to length 1, about that of a trained embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear: nn.Linear = skip_init(nn.Linear, width, width, bias=False)  # type: ignore[no-untyped-call]
        self.norm = nn.RMSNorm(width, eps=EPSILON)
        nn.init.eye_(self.linear.weight)
        nn.init.constant_(self.norm.weight, width**-0.5)

    def forward(self, h: Float[Tensor, "*S D"]) -> Float[Tensor, "*S D"]:
        """Inputs in the type of the states, whatever that of the weights."""
        projected: Tensor = self.norm(self.linear(h.to(self.linear.weight.dtype)))
        return projected.to(h.dtype)
