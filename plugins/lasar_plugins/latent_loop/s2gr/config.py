"""Options of the loop that thinks before each token of an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.core.feedback_options import FeedbackConfig


class S2grConfig(FeedbackConfig):
    """Thoughts before each token of an answer, as many as the depth says; S2GR has one."""

    feeds: Literal["state", "token"] = Field(
        "state",
        description="What a thought is fed: the state before it and the embedding of its number, or that "
        "embedding alone, a thinking token.",
    )

    @property
    def thinks_between(self) -> bool:
        """That is its point."""
        return True
