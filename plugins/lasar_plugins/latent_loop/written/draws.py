"""How words are drawn."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from lasar_kit.core.values import Prompt

ODD = -7046029254386353131
"""2^64 divided by the golden ratio, as a signed number: the step of SplitMix64 (Steele et al. 2014)."""


def inverted(logits: Float[Tensor, "*S A"], numbers: Float64[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """The choices at which cumulative probabilities pass numbers in [0, 1)."""
    # On the CPU: torch has no cumulative sum on a GPU that repeats bit by bit.
    cumulative = logits.double().cpu().softmax(-1).cumsum(-1)
    # Divided by the total, else rounding could leave a number beyond all choices.
    cumulative = cumulative / cumulative[..., -1:]
    chosen = torch.searchsorted(cumulative, numbers.cpu()[..., None], right=True)[..., 0]
    return chosen.to(logits.device)


def numbers_of(prompt: Prompt, place: int) -> Float64[Tensor, "B R"]:
    """Numbers in [0, 1) for a place of each branch's text, by the items that it shows: the same in any batch
    and any run."""
    key = prompt.items.long()
    if prompt.shown is not None:
        for items in prompt.shown.unbind(-1):
            key = torch.where(items >= 0, _mixed(key + items), key)
    return (_mixed(key + place) >> 11 & (1 << 53) - 1).double() / (1 << 53)


def _mixed(key: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """One step of SplitMix64, in integers that wrap."""
    key = key * ODD + ODD
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        key = (key ^ (key >> shift & (1 << 64 - shift) - 1)) * factor
    return key ^ (key >> 31 & (1 << 33) - 1)
