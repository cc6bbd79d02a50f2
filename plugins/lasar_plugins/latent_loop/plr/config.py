"""Options of parallel streams."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.core.feedback_options import FeedbackConfig


class PlrConfig(FeedbackConfig):
    """Streams of thoughts, each begun by a learned trigger, that do not see each other (PLR)."""

    parallel: ClassVar[bool] = True

    streams: int = Field(
        4, ge=1, description="Streams of each branch; every one thinks to the branch's depth."
    )

    @property
    def thinks_between(self) -> bool:
        """The mixed streams are added to the state behind each token of an answer."""
        return True
