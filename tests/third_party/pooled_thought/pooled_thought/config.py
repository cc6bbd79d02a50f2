"""Options of the pooled thought."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig


class PooledThoughtConfig(LatentLoopConfig):
    """Thoughts fed what attention pools from the states so far."""

    heads: int = Field(1, ge=1, description="Heads of the attention; they divide the width.")
    scale: float = Field(
        1.0, gt=0, description="Length of what is fed at first, in mean lengths of an embedding; learned."
    )
