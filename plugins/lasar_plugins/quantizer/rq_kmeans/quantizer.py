"""Residual k-means (paper Eq. 1): each level clusters what the levels before it left over."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.clusters import centroids, distinct_rows, fingerprint, nearest
from lasar_kit.core.residual import reconstruction
from lasar_kit.core.values import Env
from lasar_plugins.quantizer.rq_kmeans.config import RqKmeansConfig
from lasar_plugins.quantizer.rq_kmeans.kmeans import balanced_clusters


class RqKmeans:
    """M codebooks; an item's reconstruction is the sum of its centroids.

    A level with fewer distinct residuals than codes uses its first codes only; the others have a zero
    centroid, so that `decode` is defined for them, and `encode` never gives them.

    Balance is a property of the catalogue that was fitted: `encode` of exactly these items gives the
    balanced codes, any other input its nearest centroids.
    """

    def __init__(self, config: RqKmeansConfig, env: Env) -> None:
        self.config = config
        self.seed = env.seed
        bound = {"items_are_encoded_by_themselves": "balance is kept among all items that were fitted"}
        self.contract_exceptions = bound if config.balanced else {}
        self.sizes = config.sizes
        self.codebooks: list[Float[Tensor, "K E"]] = []
        self.used: Int[Tensor, " M"] = torch.zeros(0, dtype=torch.int64)
        self.fitted_codes: Int[Tensor, "I M"] = torch.zeros(0, 0, dtype=torch.int64)
        self.fitted_digest: Int[Tensor, " 32"] = torch.zeros(32, dtype=torch.uint8)

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Learn one codebook a level from the residuals of the level before."""
        residual = items.detach().float().cpu()
        scale = float(residual.square().sum(dim=1).mean().sqrt())
        codebooks, codes, used = [], [], []
        for size in self.sizes:
            centers, labels = self._cluster(residual, size, scale)
            codebook = torch.zeros(size, items.shape[1])
            codebook[: len(centers)] = centers
            residual = residual - centers[labels]
            codebooks.append(codebook)
            codes.append(labels)
            used.append(len(centers))
        self.codebooks, self.used = codebooks, torch.tensor(used)
        if self.config.balanced:
            self.fitted_codes, self.fitted_digest = torch.stack(codes, dim=1), fingerprint(items)

    def _cluster(
        self, residual: Float[Tensor, "I E"], size: int, scale: float
    ) -> tuple[Float[Tensor, "k E"], Int[Tensor, " I"]]:
        """At most `size` centroids, and the one of each row."""
        rows = residual.numpy()
        clusters = distinct_rows(rows, scale, size)
        if not self.config.balanced:
            options = (self.seed, self.config.max_iterations, self.config.batch_items)
            centers = torch.from_numpy(centroids(rows, clusters, *options))
            return centers, nearest(residual, centers)
        found, labels = balanced_clusters(rows, clusters, self.seed, self.config.max_iterations)
        return torch.from_numpy(found).float(), torch.from_numpy(labels).long()

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """The nearest centroid of each level's residual; of equal ones the lowest code."""
        assert self.codebooks, "fit or load_state_dict comes first"
        if len(items) == len(self.fitted_codes) and torch.equal(fingerprint(items), self.fitted_digest):
            return self.fitted_codes.to(items.device)
        residual = items.detach().float().cpu()
        codes = []
        for codebook, used in zip(self.codebooks, self.used.tolist(), strict=True):
            labels = nearest(residual, codebook[:used])
            residual = residual - codebook[labels]
            codes.append(labels)
        return torch.stack(codes, dim=1).to(items.device)

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """The sum of the centroids of the first m levels."""
        return reconstruction(self.codebooks, codes)

    def state_dict(self) -> dict[str, Tensor]:
        """Codebooks, how many codes of each are in use, and the balanced codes."""
        state = {f"codebook.{level}": codebook for level, codebook in enumerate(self.codebooks)}
        state["used"] = self.used
        if self.config.balanced:
            state |= {"fitted_codes": self.fitted_codes, "fitted_digest": self.fitted_digest}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a fitted quantizer of the same options."""
        codebooks = [state[f"codebook.{level}"] for level in range(len(self.sizes))]
        assert tuple(len(codebook) for codebook in codebooks) == self.sizes, "saved with other sizes"
        self.codebooks, self.used = codebooks, state["used"]
        if self.config.balanced:
            self.fitted_codes, self.fitted_digest = state["fitted_codes"], state["fitted_digest"]
