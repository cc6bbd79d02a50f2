"""Vectors that residual codes stand for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def reconstruction(
    codebooks: Sequence[Float[Tensor, "K E"]], codes: Int[Tensor, "I m"]
) -> Float[Tensor, "I E"]:
    """The sum of the chosen rows of the first m codebooks, of which there must be as many."""
    assert codebooks, "fit or load_state_dict comes first"
    total = torch.zeros(len(codes), codebooks[0].shape[1], device=codes.device)
    for level in range(codes.shape[1]):
        total = total + codebooks[level].to(codes.device)[codes[:, level]]
    return total
