"""Options of the co-occurrence encoder."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import ComponentConfig


class CooccurrenceConfig(ComponentConfig):
    """Options of `cooccurrence`."""

    dimensions: int = Field(
        128, ge=1, description="Width of an embedding, at most; a small catalogue gives less."
    )
    window: int = Field(5, ge=1, description="Largest distance, in items, at which two items co-occur.")
    decay: float = Field(
        0.8, gt=0, le=1, description="Weight of a pair is this to the power of its distance less one."
    )
    smoothing: float = Field(
        0.75, gt=0, le=1, description="Exponent on context counts; under 1 it damps the pull of rare items."
    )
