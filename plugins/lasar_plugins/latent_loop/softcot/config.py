"""Options of the loop whose thoughts are an assistant's."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig


class SoftcotConfig(LatentLoopConfig):
    """Soft tokens between prompt and answer, as many as the depth says.

    The assistant is the model itself, as it was when the first stage with this loop began. Its weights are
    kept with the loop's, so a checkpoint is twice as large.
    """

    start: bool = Field(
        False,
        description="Whether the assistant reads the tokenizer's start token before the history, as a model "
        "does whose prompts begin with it.",
    )
