"""Options of the pooled thought."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig


class LatentR3Config(LatentLoopConfig):
    """Thoughts fed what attention pools from the states so far; LatentR3 has one."""

    feedback_scale: Literal["none", "embedding_rms"] = Field(
        "none",
        description="Whether what is pooled is rescaled to the mean norm of the embeddings; the authors feed "
        "it as it is, to pretrained models.",
    )
    base: float = Field(
        1000.0, gt=1, description="Base of the rotary positions of queries and keys (the authors': 1000)."
    )
