"""Clusters of item vectors: k-means, nearest centers, and which catalogue it was."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController
from torch import Tensor

_CHUNK = 16_384
"""Rows compared with a codebook at once."""


def distinct_rows(rows: Float[np.ndarray, "I E"], scale: float, most: int) -> int:
    """How many rows differ by more than rounding noise, which is taken as 1e-6 of `scale`; counted up to
    `most`, which the first few of a large catalogue mostly have."""
    if scale == 0:
        return 1
    seen = rows[:0]
    for start in range(0, len(rows), _CHUNK):
        steps = np.round(rows[start : start + _CHUNK] / (1e-6 * scale))
        seen = np.unique(np.concatenate([seen, steps]), axis=0)
        if len(seen) >= most:
            return most
    return len(seen)


def centroids(
    rows: Float[np.ndarray, "I E"], clusters: int, seed: int, max_iterations: int, batch: int = 0
) -> Float[np.ndarray, "k E"]:
    """k-means with k-means++ seeding and one start, at most `max_iterations` times through all rows; by
    mini-batches of `batch` rows (Sculley, 2010) where there are more of them, and it is not 0."""
    options = {"init": "k-means++", "n_init": 1, "max_iter": max_iterations, "random_state": seed}
    if 0 < batch < len(rows):
        kmeans = MiniBatchKMeans(clusters, batch_size=batch, compute_labels=False, **options)
    else:
        kmeans = KMeans(clusters, **options)
    # Several threads add up their partial sums in the order they finish, which changes the last bits.
    with _threads().limit(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(rows)
    centers: Float[np.ndarray, "k E"] = kmeans.cluster_centers_
    return centers


@cache
def _threads() -> ThreadpoolController:
    """Return the pools of the libraries that are loaded, sklearn's among them: to look for them takes longer
    than to cluster a small catalogue."""
    return ThreadpoolController()


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
