"""Options of the loop that thinks before each token of an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig


class S2grConfig(LatentLoopConfig):
    """Thoughts before each token of an answer, as many as the depth says; S2GR has one."""

    feeds: Literal["state", "token"] = Field(
        "state",
        description="What a thought is fed: the state before it and the embedding of its number, or that "
        "embedding alone, a thinking token.",
    )
    feedback_scale: Literal["none", "embedding_rms"] = Field(
        "none",
        description="Whether a state is rescaled to the mean norm of the embeddings before the number's "
        "embedding is added.",
    )

    @property
    def thinks_between(self) -> bool:
        """That is its point."""
        return True
