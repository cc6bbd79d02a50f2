"""Latents read level by level: codes, codewords, and what the losses are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Chooses = Callable[[Float[Tensor, "I W"], Float[Tensor, "K W"], bool], Int[Tensor, " I"]]
"""The code of each row among codewords; the flag says that it is the last level."""


@dataclass(frozen=True)
class Quantized:
    """Latents as the codebooks have them.

    `residuals[m]` is what level m was given, with the latents' gradient and without the codebooks';
    `words[m]` the codewords that it chose, with the codebooks' gradient.
    """

    codes: Int[Tensor, "I M"]
    residuals: tuple[Float[Tensor, "I W"], ...]
    words: tuple[Float[Tensor, "I W"], ...]

    @property
    def through(self) -> Float[Tensor, "I W"]:
        """The sum of the codewords, whose gradient goes to the latents as if nothing had been rounded
        (Bengio et al. 2013)."""
        latents = self.residuals[0]
        return latents + (torch.stack(self.words).sum(dim=0) - latents).detach()

    @property
    def codebook_loss(self) -> Float[Tensor, ""]:
        """How far codewords are from what they stand for: mean over levels, items and coordinates."""
        gaps = [
            (word - rest.detach()).square() for rest, word in zip(self.residuals, self.words, strict=True)
        ]
        return torch.stack(gaps).mean()

    @property
    def commitment(self) -> Float[Tensor, ""]:
        """The same distance, felt by the latents at every level (TIGER, section 3.1)."""
        gaps = [
            (rest - word.detach()).square() for rest, word in zip(self.residuals, self.words, strict=True)
        ]
        return torch.stack(gaps).mean()


def quantize(
    latents: Float[Tensor, "I W"], codebooks: Sequence[Float[Tensor, "K W"]], choose: Chooses
) -> Quantized:
    """Give each latent a code a level, each level from what the codewords before it leave over."""
    codes, residuals, words = [], [], []
    rest = latents
    for level, codebook in enumerate(codebooks):
        code = choose(rest.detach(), codebook.detach(), level == len(codebooks) - 1)
        word = codebook[code]
        codes.append(code)
        residuals.append(rest)
        words.append(word)
        rest = rest - word.detach()
    return Quantized(torch.stack(codes, dim=1), tuple(residuals), tuple(words))


def distances(rows: Float[Tensor, "I W"], codebook: Float[Tensor, "K W"]) -> Float[Tensor, "I K"]:
    """Return squared distances; where a row is a codeword, 0 but for rounding."""
    products = rows @ codebook.T
    return rows.square().sum(dim=1, keepdim=True) - 2 * products + codebook.square().sum(dim=1)
