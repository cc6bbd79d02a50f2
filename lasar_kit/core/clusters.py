"""Clusters of item vectors: k-means, nearest centers, and which catalogue it was."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

_CHUNK = 16_384
"""Rows compared with a codebook at once."""


def distinct_rows(rows: Float[np.ndarray, "I E"], scale: float) -> int:
    """How many rows differ by more than rounding noise, which is taken as 1e-6 of `scale`."""
    if scale == 0:
        return 1
    return len(np.unique(np.round(rows / (1e-6 * scale)), axis=0))


def centroids(
    rows: Float[np.ndarray, "I E"], clusters: int, seed: int, max_iterations: int
) -> Float[np.ndarray, "k E"]:
    """k-means with k-means++ seeding and one start."""
    kmeans = KMeans(clusters, init="k-means++", n_init=1, max_iter=max_iterations, random_state=seed)
    # Several threads add up their partial sums in the order they finish, which changes the last bits.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(rows)
    centers: Float[np.ndarray, "k E"] = kmeans.cluster_centers_
    return centers


def nearest(rows: Float[Tensor, "I E"], centers: Float[Tensor, "k E"]) -> Int[Tensor, " I"]:
    """Index of the nearest center, compared in float64 so that near ties do not turn on rounding."""
    wide = centers.double()
    norms = wide.square().sum(dim=1)
    labels = [(norms - 2 * chunk.double() @ wide.T).argmin(dim=1) for chunk in torch.split(rows, _CHUNK)]
    return torch.cat(labels)


def fingerprint(items: Float[Tensor, "I E"]) -> Int[Tensor, " 32"]:
    """A digest of a matrix, by which a catalogue that was fitted is known again."""
    content = hashlib.sha256(items.detach().float().cpu().contiguous().numpy().tobytes())
    return torch.frombuffer(bytearray(content.digest()), dtype=torch.uint8)
