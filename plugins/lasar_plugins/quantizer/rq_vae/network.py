"""The networks around the codebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Perceptron(nn.Module):
    """Linear maps with ReLU between them; `residual` adds the input to what they give, which is 0 at first.

    Weights are drawn by a generator, whatever torch's global one stands at.
    """

    def __init__(self, widths: Sequence[int], residual: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.residual = residual
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inside, outside in pairwise(widths):
            std = math.sqrt(2 / (inside + outside))  # Glorot and Bengio 2010
            self.weights.append(nn.Parameter(std * torch.randn(outside, inside, generator=generator)))
            self.biases.append(nn.Parameter(torch.zeros(outside)))
        if residual:
            with torch.no_grad():
                self.weights[-1].zero_()

    def forward(self, rows: Float[Tensor, "I A"]) -> Float[Tensor, "I B"]:
        """One vector for each row."""
        x, last = rows, len(self.weights) - 1
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = nn.functional.linear(x, weight, bias)
            if place < last:
                x = torch.relu(x)
        return rows + x if self.residual else x


class Autoencoder(nn.Module):
    """Encoder, codebooks and decoder of item vectors E wide, whose root mean square is `scale`.

    With `width` None latents are as wide as the items, and both networks add to what they are given: at first
    they are the identity.
    """

    scale: Tensor

    def __init__(
        self, items: int, width: int | None, hidden: Sequence[int], sizes: Sequence[int], seed: int
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        latent = width or items
        self.encoder = Perceptron((items, *hidden, latent), width is None, generator)
        self.decoder = Perceptron((latent, *reversed(hidden), items), width is None, generator)
        self.codebooks = nn.ParameterList(nn.Parameter(torch.zeros(size, latent)) for size in sizes)
        self.register_buffer("scale", torch.ones(()))

    def latents(self, items: Float[Tensor, "I E"]) -> Float[Tensor, "I W"]:
        """What stands for the items before it is quantised."""
        encoded: Tensor = self.encoder(items / self.scale)
        return encoded

    def items(self, latents: Float[Tensor, "I W"]) -> Float[Tensor, "I E"]:
        """The items' vectors again."""
        decoded: Tensor = self.decoder(latents)
        return decoded * self.scale
