"""Training of a residual-quantised autoencoder on one catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.clusters import centroids, distinct_rows, nearest
from lasar_kit.core.numbers import read
from lasar_kit.errors import UserError
from lasar_plugins.quantizer.rq_vae.config import TrainedCodesConfig
from lasar_plugins.quantizer.rq_vae.levels import Quantized, distances, quantize
from lasar_plugins.quantizer.rq_vae.network import Autoencoder
from lasar_plugins.quantizer.rq_vae.sinkhorn import transport

REVIVING = 0.9
"""Share of the training in which codes are revived; what is left is for them to settle."""


@dataclass
class MovingMeans:
    """Codewords as means of what they stood for lately (van den Oord et al. 2017, appendix A.1).

    `counts[m]` and `sums[m]` fade by `decay` an update; a code whose count has faded away stays where it is.
    """

    decay: float
    counts: list[Float[Tensor, " K"]]
    sums: list[Float[Tensor, "K W"]]

    @classmethod
    def of(cls, network: Autoencoder, decay: float) -> MovingMeans:
        """Begin at the codewords, each as if it stood for one item."""
        books = [book.detach() for book in network.codebooks]
        return cls(decay, [torch.ones_like(book[:, 0]) for book in books], [book.clone() for book in books])

    @torch.no_grad()
    def follow(self, network: Autoencoder, found: Quantized) -> None:
        """Move the codewords after an update's items."""
        for level, book in enumerate(network.codebooks):
            code, rest = found.codes[:, level], found.residuals[level].detach()
            counts, sums = self.counts[level], self.sums[level]
            counts.mul_(self.decay).index_add_(0, code, torch.ones_like(rest[:, 0]), alpha=1 - self.decay)
            sums.mul_(self.decay).index_add_(0, code, rest, alpha=1 - self.decay)
            book.copy_(torch.where(counts[:, None] > 1e-5, sums / counts.clamp_min(1e-5)[:, None], book))

    def place(self, level: int, codes: Int[Tensor, " n"], words: Float[Tensor, "n W"]) -> None:
        """Put codes on vectors, as at the beginning."""
        self.counts[level][codes] = 1.0
        self.sums[level][codes] = words


@dataclass
class Progress:
    """How training stands: the means of an epoch's losses, and how often codes of each level were revived."""

    losses: dict[str, float] = field(default_factory=dict)
    revived: list[int] = field(default_factory=list)


class Trainer:
    """Trains `network` on `items`; all that is drawn hangs on the seed."""

    def __init__(
        self, network: Autoencoder, items: Float[Tensor, "I E"], config: TrainedCodesConfig, seed: int
    ) -> None:
        self.network, self.items, self.config = network, items, config
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.progress = Progress(revived=[0] * len(network.codebooks))
        begin(network, items, seed, config.kmeans_iterations)
        self.means: MovingMeans | None = None
        if config.codebooks == "ema":
            self.means = MovingMeans.of(network, config.ema_decay)
            network.codebooks.requires_grad_(False)
        matrices = [*network.encoder.weights, *network.decoder.weights]
        others = [*network.encoder.biases, *network.decoder.biases, *network.codebooks]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=0.0)

    def run(self, report: Callable[[dict[str, float]], None]) -> Progress:
        """Train all epochs; `UserError` where the loss is no number."""
        every = self.config.revive_every
        used = self._unused()
        for epoch in range(self.config.epochs):
            self.progress.losses = self._epoch(used)
            loss = self.progress.losses["loss"]
            if not loss < float("inf"):
                raise UserError(
                    f"quantizer {self.config.use}: the loss is {loss} in epoch {epoch + 1}; "
                    f"lower lr, which is {self.config.lr:g}"
                )
            report({"done": epoch + 1.0, "total": float(self.config.epochs), "loss": loss})
            if every and (epoch + 1) % every == 0:
                if epoch + 1 <= REVIVING * self.config.epochs:
                    self._revive(used)
                used = self._unused()
        return self.progress

    def _unused(self) -> list[Bool[Tensor, " K"]]:
        return [torch.zeros(len(b), dtype=torch.bool, device=b.device) for b in self.network.codebooks]

    def _epoch(self, used: list[Bool[Tensor, " K"]]) -> dict[str, float]:
        """One pass in a new order; the mean of each loss, and `used` takes note of the codes."""
        totals: dict[str, Tensor] = {}
        for rows in self._batches():
            found, losses = forward(self.network, rows, self.config)
            self.optimizer.zero_grad()
            torch.autograd.backward(losses["loss"])
            self.optimizer.step()
            if self.means is not None:
                self.means.follow(self.network, found)
            for level, seen in enumerate(used):
                seen[found.codes[:, level]] = True
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + value.detach() * (len(rows) / len(self.items))
        return read(totals)

    def _batches(self) -> Iterator[Float[Tensor, "B E"]]:
        order = torch.randperm(len(self.items), generator=self.generator).to(self.items.device)
        for chosen in torch.split(order, self.config.batch_size):
            yield self.items[chosen]

    @torch.no_grad()
    def _revive(self, used: list[Bool[Tensor, " K"]]) -> None:
        """Put codes that no item had on what items leave to them, drawn by squared distance from the codeword
        that now stands for it (as k-means++ draws)."""
        latents = self.network.latents(self.items)
        for level, seen in enumerate(used):
            found = quantize(latents, list(self.network.codebooks), chooser(self.config))
            rest = found.residuals[level]
            gaps = (rest - found.words[level]).square().sum(dim=1).cpu()
            worst = gaps > 1e-6 * latents.square().sum(dim=1).mean().cpu()
            dead = (~seen).nonzero()[:, 0][: int(worst.sum())]
            if not len(dead):
                continue
            rows = torch.multinomial(gaps * worst, len(dead), generator=self.generator).to(rest.device)
            self.network.codebooks[level][dead] = rest[rows]
            if self.means is not None:
                self.means.place(level, dead, rest[rows])
            self.progress.revived[level] += len(dead)


def chooser(config: TrainedCodesConfig) -> Callable[[Tensor, Tensor, bool], Int[Tensor, " I"]]:
    """How rows choose among codewords in training: the nearest, or evenly at the last level."""

    def choose(rows: Tensor, codebook: Tensor, last: bool) -> Tensor:
        gaps = distances(rows, codebook)
        if last and config.sinkhorn:
            return transport(gaps, config.sinkhorn, config.sinkhorn_iterations).argmax(dim=1)
        return gaps.argmin(dim=1)

    return choose


def forward(
    network: Autoencoder, items: Float[Tensor, "B E"], config: TrainedCodesConfig
) -> tuple[Quantized, dict[str, Float[Tensor, ""]]]:
    """Read items; their losses (TIGER, section 3.1), as means over items and coordinates of vectors whose
    root mean square is 1. Codebooks that are moving means have no loss."""
    found = quantize(network.latents(items), list(network.codebooks), chooser(config))
    scaled = network.decoder(found.through) - items / network.scale
    losses = {"reconstruction": scaled.square().mean(), "commitment": found.commitment}
    quantization = config.beta * losses["commitment"]
    if config.codebooks == "gradient":
        losses["codebook"] = found.codebook_loss
        quantization = quantization + losses["codebook"]
    return found, {"loss": losses["reconstruction"] + config.quantization_weight * quantization, **losses}


@torch.no_grad()
def begin(network: Autoencoder, items: Float[Tensor, "I E"], seed: int, iterations: int) -> None:
    """Put codewords where residual k-means of the catalogue's latents has them; surplus ones are 0."""
    rest = network.latents(items)
    scale = float(rest.square().sum(dim=1).mean().sqrt())
    for book in network.codebooks:
        rows = rest.cpu().numpy()
        clusters = distinct_rows(rows, scale, len(book))
        centers = torch.from_numpy(centroids(rows, clusters, seed, iterations)).to(rest)
        book[:clusters] = centers
        rest = rest - centers[nearest(rest, centers)]
