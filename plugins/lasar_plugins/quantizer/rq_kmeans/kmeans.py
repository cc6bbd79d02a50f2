"""Centroids of one level, plain or of bounded cluster size."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from lasar_kit.errors import UserError


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


def balanced_clusters(
    rows: Float[np.ndarray, "I E"], clusters: int, seed: int, max_iterations: int
) -> tuple[Float[np.ndarray, "k E"], Int[np.ndarray, " I"]]:
    """k-means where no cluster has more than ceil(I / k) rows (Bradley et al., 2000), and the labels."""
    try:
        from k_means_constrained import KMeansConstrained  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise UserError(
            'quantizer rq_kmeans: balanced: needs k-means-constrained: pip install "lasar-kit[balanced]"'
        ) from error
    kmeans = KMeansConstrained(
        clusters,
        size_max=-(-len(rows) // clusters),
        n_init=1,
        max_iter=max_iterations,
        random_state=seed,
        n_jobs=1,
    )
    with threadpool_limits(1):
        kmeans.fit(rows)
    return kmeans.cluster_centers_, kmeans.labels_
