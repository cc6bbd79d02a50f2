"""Options that several teachers and segmenters have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from lasar_kit.spec import TeacherConfig


class WrittenOptions(TeacherConfig):
    """Options of teachers whose text is written elsewhere."""

    recommendation: Literal["strip", "keep"] = Field(
        "strip",
        description="Take the recommendation and all SIDs out of a text (strip), or leave them in, as the "
        "paper's own texts have them; then the last anchor encodes the answer (keep).",
    )


class PromptedOptions(WrittenOptions):
    """Options of teachers that ask a language model."""

    show_target: bool = Field(
        False,
        description="Tell the model which item came next, as GREAM does; the text then draws on the answer.",
    )
    instructions: str | None = Field(
        None, description="The model's instructions; absent: the five stages of GREAM."
    )

    @field_validator("instructions")
    @classmethod
    def _says_something(cls, instructions: str | None) -> str | None:
        if instructions is not None and not instructions.strip():
            raise ValueError("must not be empty")
        return instructions
