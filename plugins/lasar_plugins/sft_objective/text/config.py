"""Options of the tasks with texts; imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lasar_kit.core.item_fields import DEFAULT_FIELDS, ItemField
from lasar_kit.spec import SftObjectiveConfig, TeacherConfig, component


class TextObjectiveConfig(SftObjectiveConfig):
    """Options of all tasks with texts."""

    batch_size: int = Field(16, ge=1, description="Samples an update, over all processes.")

    @property
    def trains_text(self) -> bool:
        """The backbone learns words."""
        return True


class SidTaskConfig(TextObjectiveConfig):
    """A task that ties SIDs to texts."""

    max_tokens: int = Field(64, ge=1, description="Tokens of an item's text or title, the first ones kept.")
    fields: tuple[ItemField, ...] = Field(
        DEFAULT_FIELDS, min_length=1, description="What the text of text_to_sid and sid_to_text is made of."
    )
    samples: Literal["sliding", "longest_per_user"] = Field(
        "sliding", description="Histories: every prefix of a user's training part, or the longest alone."
    )


class WrittenTaskConfig(SidTaskConfig):
    """A task that ties SIDs to a teacher's texts about training prompts."""

    teacher: Annotated[TeacherConfig, component("teacher")] = Field(
        "template", description="Writes the texts.", validate_default=True
    )
    max_samples: int = Field(
        10_000, ge=0, description="Training prompts to write about, drawn by the seed; 0 for all."
    )


class ItemTextConfig(TextObjectiveConfig):
    """Language modelling on item texts, so that a from-scratch backbone learns to read."""

    max_tokens: int = Field(64, ge=2, description="Tokens of a text, the first ones kept.")
    fields: tuple[ItemField, ...] = Field(DEFAULT_FIELDS, min_length=1, description="What a text is made of.")


class ReasoningTextConfig(TextObjectiveConfig):
    """Language modelling on a teacher's texts about training prompts."""

    teacher: Annotated[TeacherConfig, component("teacher")] = Field(
        "template", description="Writes the texts.", validate_default=True
    )
    max_samples: int = Field(
        10_000, ge=0, description="Training prompts to write about, drawn by the seed; 0 for all."
    )
    samples: Literal["sliding", "longest_per_user"] = Field(
        "sliding", description="Prompts: every prefix of a user's training part, or the longest alone."
    )
    max_tokens: int = Field(256, ge=2, description="Tokens of a text, the first ones kept.")
