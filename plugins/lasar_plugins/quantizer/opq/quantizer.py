"""Optimised product quantization (Ge et al. 2013), as RPG makes long semantic IDs (Hou et al. 2025)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.clusters import centroids, distinct_rows, nearest
from lasar_kit.core.residual import reconstruction
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.quantizer.opq.config import OpqConfig


class Opq:
    """Vectors are turned and cut into M parts, and each part has its nearest of K centroids.

    Codebooks are kept as vectors of items. Those of different levels are at right angles: a level's nearest
    codeword is the same whatever the others gave, and no level comes before another. A level with fewer
    distinct parts than codes uses its first codes only; the others are 0.
    """

    def __init__(self, config: OpqConfig, env: Env) -> None:
        self.config, self.seed = config, env.seed
        self.sizes = config.sizes
        self.mean: Float[Tensor, " E"] = torch.zeros(0)
        self.codebooks: list[Float[Tensor, "K E"]] = []
        self.used: Int[Tensor, " M"] = torch.zeros(0, dtype=torch.int64)

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Fit codes, turn the vectors towards what the codes stand for (Procrustes), and so on."""
        rows = items.detach().double().cpu().numpy()
        width = rows.shape[1]
        if width < len(self.sizes):
            raise UserError(
                f"quantizer opq: {len(self.sizes)} levels cut vectors of {width} coordinates into more parts "
                "than they have; lower levels, or raise the text encoder's dimensions"
            )
        mean = rows.mean(axis=0)
        rows = rows - mean
        parts = np.array_split(np.arange(width), len(self.sizes))
        turn = balanced(rows, [len(part) for part in parts])
        for _ in range(self.config.rounds):
            books = self._books(rows @ turn, parts)
            left, _, right = np.linalg.svd(rows.T @ coded(rows @ turn, parts, books))
            turn = left @ right
        books = self._books(rows @ turn, parts)
        self.mean = torch.from_numpy(mean).float()
        self.used = torch.tensor([len(book) for book in books])
        self.codebooks = []
        for size, part, book in zip(self.sizes, parts, books, strict=True):
            codebook = torch.zeros(size, width)
            codebook[: len(book)] = torch.from_numpy(book @ turn[:, part].T).float()
            self.codebooks.append(codebook)

    def _books(
        self, rows: Float[np.ndarray, "I E"], parts: list[Int[np.ndarray, " e"]]
    ) -> list[Float[np.ndarray, "k e"]]:
        """The centroids of each part of vectors that are turned already."""
        scale = float(np.sqrt(np.square(rows).sum(axis=1).mean()))
        books = []
        for size, part in zip(self.sizes, parts, strict=True):
            own = rows[:, part]
            books.append(
                centroids(own, distinct_rows(own, scale, size), self.seed, self.config.max_iterations)
            )
        return books

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """The nearest codeword of each level; of equal ones the lowest code."""
        assert self.codebooks, "fit or load_state_dict comes first"
        rows = items.detach().float().cpu() - self.mean
        used = zip(self.codebooks, self.used.tolist(), strict=True)
        return torch.stack([nearest(rows, book[:count]) for book, count in used], dim=1).to(items.device)

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """The mean item and the first m parts."""
        return self.mean.to(codes.device) + reconstruction(self.codebooks, codes)

    def state_dict(self) -> dict[str, Tensor]:
        """Codebooks, how many codes of each are in use, and the mean."""
        books = {f"codebook.{level}": book for level, book in enumerate(self.codebooks)}
        return books | {"used": self.used, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a fitted quantizer of the same options."""
        self.codebooks = [state[f"codebook.{level}"] for level in range(len(self.sizes))]
        self.used, self.mean = state["used"], state["mean"]


def balanced(rows: Float[np.ndarray, "I E"], room: list[int]) -> Float[np.ndarray, "E E"]:
    """Return the principal axes of centred vectors, dealt out so that parts have variances of much the same
    product (Ge et al. 2013, section 3.2): each, the largest first, to the part with room that has least."""
    variances, axes = np.linalg.eigh(rows.T @ rows)
    logs = np.log(np.maximum(variances, 1e-12 * max(variances.max(), 1e-300)))
    mine: list[list[int]] = [[] for _ in room]
    total = np.zeros(len(room))
    for axis in reversed(range(len(logs))):
        open_parts = [part for part, most in enumerate(room) if len(mine[part]) < most]
        part = min(open_parts, key=lambda part: (len(mine[part]) > 0, total[part]))
        mine[part].append(axis)
        total[part] += logs[axis]
    turned: Float[np.ndarray, "E E"] = axes[:, [axis for part in mine for axis in part]]
    return turned


def coded(
    rows: Float[np.ndarray, "I E"],
    parts: list[Int[np.ndarray, " e"]],
    books: list[Float[np.ndarray, "k e"]],
) -> Float[np.ndarray, "I E"]:
    """Return the centroids that stand for turned vectors, part by part."""
    found = np.empty_like(rows)
    for part, book in zip(parts, books, strict=True):
        codes = nearest(torch.from_numpy(rows[:, part]), torch.from_numpy(book))
        found[:, part] = book[codes.numpy()]
    return found
