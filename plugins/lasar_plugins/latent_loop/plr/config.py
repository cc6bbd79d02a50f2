"""Options of parallel streams."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig


class PlrConfig(LatentLoopConfig):
    """Streams of thoughts, each begun by a learned trigger, that do not see each other (PLR)."""

    parallel: ClassVar[bool] = True

    streams: int = Field(
        4, ge=1, description="Streams of each branch; every one thinks to the branch's depth."
    )
    feedback_scale: Literal["none", "embedding_rms"] = Field(
        "none",
        description="Whether a state is rescaled to the mean norm of the embeddings before trigger and "
        "position are added.",
    )

    @property
    def thinks_between(self) -> bool:
        """The mixed streams are added to the state behind each token of an answer."""
        return True
