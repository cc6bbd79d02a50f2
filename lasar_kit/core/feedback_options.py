"""Options of loops that feed states back; imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec.bases import LatentLoopConfig


class FeedbackConfig(LatentLoopConfig):
    """How long the vectors are that a loop feeds back (`lasar_kit.core.feedback.fed_norm`)."""

    feedback_scale: Literal["none", "embedding_rms"] = Field(
        "none",
        description="Whether a state is rescaled to the mean norm of the embeddings before it is fed back "
        "and before anything is added to it.",
    )
