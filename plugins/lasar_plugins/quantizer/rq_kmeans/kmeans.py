"""Centroids of one level, of bounded cluster size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from lasar_kit.errors import UserError


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
