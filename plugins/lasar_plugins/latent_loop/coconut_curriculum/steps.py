"""The steps of texts, found in their token ids."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def numbered(ids: Int[Tensor, "B R W"], heading: Int[Tensor, " n"]) -> Int[Tensor, "B R W"]:
    """The step that each token is of, from 0; what stands before the first heading is of the first step.

    >>> numbered(torch.tensor([[[5, 7, 1, 7, 2, -1]]]), torch.tensor([7]))
    tensor([[[0, 0, 0, 1, 1, 1]]])
    """
    wide = torch.nn.functional.pad(ids, (0, len(heading)), value=-1)
    begins = (wide.unfold(-1, len(heading), 1) == heading).all(-1)[..., : ids.shape[-1]]
    return (begins.cumsum(-1) - 1).clamp_min(0)


def packed(ids: Int[Tensor, "B R W"], kept: Bool[Tensor, "B R W"]) -> Int[Tensor, "B R W"]:
    """The tokens that are kept, in order from the left, -1 behind them."""
    order = (~kept).int().argsort(dim=-1, stable=True)
    return ids.masked_fill(~kept, -1).gather(-1, order)
