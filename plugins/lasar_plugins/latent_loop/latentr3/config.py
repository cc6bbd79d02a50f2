"""Options of the pooled thought."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.feedback_options import FeedbackConfig


class LatentR3Config(FeedbackConfig):
    """Thoughts fed what attention pools from the states so far; LatentR3 has one.

    Its authors feed what is pooled as it is, to pretrained models.
    """

    base: float = Field(
        1000.0, gt=1, description="Base of the rotary positions of queries and keys (the authors': 1000)."
    )
