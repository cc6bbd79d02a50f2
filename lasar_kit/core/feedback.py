"""What loops share that think on the token tree: states as inputs, numbered thoughts, a token a branch.

Shape letters as in `values.py`, and N branches a row.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Between, Context


def rescale(h: Float[Tensor, "*S D"], norm: Float[Tensor, ""]) -> Float[Tensor, "*S D"]:
    """States of length `norm`, their direction kept; computed in float32 at least."""
    wide = h.to(torch.promote_types(h.dtype, torch.float32))
    return (nn.functional.normalize(wide, dim=-1) * norm).to(h.dtype)


def fed_norm(backbone: Backbone, scale: str) -> Float[Tensor, ""] | None:
    """The norm to rescale to by the option `feedback_scale`; None where states are fed as they are."""
    return backbone.embedding_norm() if scale == "embedding_rms" else None


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


def read_behind(
    backbone: Backbone, inputs: Float[Tensor, "B N D"], parent: Int[Tensor, "B N"], past: Context
) -> tuple[Float[Tensor, "B N D"], Int[Tensor, "B N"], Context]:
    """Read one token behind each parent: the states, the nodes they became, the grown context."""
    node = (past.length + torch.arange(parent.shape[1], device=parent.device)).expand_as(parent)
    state, context = backbone.advance(inputs, parent, past)
    return state, node, context


def at_depth(
    steps: Sequence[Shaped[Tensor, "B N *S"]], depth: Int[Tensor, "B N"]
) -> Shaped[Tensor, "B N *S"]:
    """Of the values behind 0, 1, 2, ... thoughts each branch's own."""
    values = torch.stack(list(steps))
    own = depth[(None, ..., *(None,) * (values.ndim - 3))].expand(1, *values.shape[1:])
    return values.gather(0, own)[0]


def added_between(shift: Float[Tensor, "B R D"]) -> Between:
    """Adds a branch's shift to the states behind its tokens, of which each branch has as many."""

    def between(
        state: Float[Tensor, "B N D"], node: Int[Tensor, "B N"], context: Context
    ) -> tuple[Float[Tensor, "B N D"], Int[Tensor, "B N"], Context]:
        each = state.shape[1] // shift.shape[1]
        return state + shift.repeat_interleave(each, dim=1), node, context

    return between
