"""Options of the co-occurrence encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig


class CooccurrenceConfig(ComponentConfig):
    """Options of `cooccurrence`."""

    weighting: Literal["ppmi", "cosine"] = Field(
        "ppmi",
        description="What is reduced: pointwise mutual information of items near each other, or the cosine "
        "between the users of two items, which knows neither distance nor order.",
    )
    dimensions: int = Field(
        128, ge=1, description="Width of an embedding, at most; a small catalogue gives less."
    )
    window: int = Field(5, ge=1, description="ppmi: largest distance, in items, to co-occur at.")
    decay: float = Field(
        0.8, gt=0, le=1, description="ppmi: weight of a pair is this to the power of its distance less one."
    )
    smoothing: float = Field(
        0.75,
        gt=0,
        le=1,
        description="ppmi: exponent on context counts; under 1 it damps the pull of rare items.",
    )
