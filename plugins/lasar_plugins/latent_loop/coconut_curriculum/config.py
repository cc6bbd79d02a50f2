"""Options of Coconut's curriculum."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.core.feedback_options import FeedbackConfig

END = "<|steps_e|>"
"""The token that ends what is written."""


class CoconutCurriculumConfig(FeedbackConfig):
    """Thoughts in place of the first steps of a text, the other steps in words.

    A stage of the curriculum is an `sft` stage with one step more `replaced` than the one before. Depth 0
    answers at once; any other depth thinks as long as this says. Coconut feeds states back as they are.
    """

    tokens: ClassVar[tuple[str, ...]] = (END,)
    writes: ClassVar[bool] = True

    replaced: int = Field(1, ge=0, description="Steps of the text that thoughts stand for: k.")
    thoughts: int = Field(1, ge=1, description="Thoughts for each of them: c.")
    drop: bool = Field(
        False,
        description="Leave out the steps that are left too, and write nothing: the last stage.",
    )
    heading: str = Field(
        "Step",
        min_length=1,
        description="Text that every step begins with, as the tokenizer spells it at the start of a line.",
    )
    limit: int = Field(
        128, ge=1, description="Tokens that are written at most; a text that goes on is cut, in training too."
    )

    @property
    def needs_words(self) -> bool:
        """Not in the last stage, where thoughts stand for all steps."""
        return not self.drop
