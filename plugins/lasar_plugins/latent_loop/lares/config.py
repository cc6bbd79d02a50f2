"""Options of looped depth."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig


class LaresConfig(LatentLoopConfig):
    """Every step reads the whole prompt again, fed the states before it and the first ones (LARES)."""

    noise: float = Field(
        0.02,
        ge=0,
        description="Standard deviation of the states that training starts from; evaluation starts from 0.",
    )
