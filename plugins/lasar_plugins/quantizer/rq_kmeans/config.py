"""Options of residual k-means."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.residual_options import LevelsConfig


class RqKmeansConfig(LevelsConfig):
    """Options of `rq_kmeans`."""

    balanced: bool = Field(
        False,
        description="Let no code of a level have more than its share of items; needs the extra 'balanced'.",
    )
    max_iterations: int = Field(300, ge=1, description="Rounds of Lloyd's algorithm a level, at most.")
