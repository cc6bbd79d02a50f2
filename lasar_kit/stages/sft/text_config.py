"""Options of the training tasks with texts; imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from lasar_kit.core.item_fields import DEFAULT_FIELDS, ItemField
from lasar_kit.spec import SpecModel, TeacherConfig, component
from lasar_kit.train.config import PromptRule


class TextConfig(SpecModel):
    """Language modelling on item texts beside next items, so that a from-scratch backbone learns to read."""

    weight: float = Field(0.0, ge=0, description="Of the text loss; 0 for none.")
    batch_size: int = Field(16, ge=1, description="Texts an update, over all processes.")
    max_tokens: int = Field(64, ge=2, description="Tokens of a text, the first ones kept.")
    fields: tuple[ItemField, ...] = Field(DEFAULT_FIELDS, min_length=1, description="What a text is made of.")


class ReasoningTextConfig(SpecModel):
    """Language modelling on a teacher's texts about training prompts."""

    weight: float = Field(0.0, ge=0, description="Of the loss on reasoning texts; 0 for none.")
    teacher: Annotated[TeacherConfig, component("teacher")] = Field(
        "template", description="Writes the texts.", validate_default=True
    )
    max_samples: int = Field(
        10_000, ge=0, description="Training prompts to write about, drawn by the seed; 0 for all."
    )
    samples: PromptRule | None = Field(
        None,
        description="Which prompts are written about: every prefix of a user's training part, or the longest "
        "alone; those that the stage trains on when absent.",
    )
    batch_size: int = Field(16, ge=1, description="Texts an update, over all processes.")
    max_tokens: int = Field(256, ge=2, description="Tokens of a text, the first ones kept.")


TextTaskName = Literal[
    "text_to_sid",
    "sid_to_text",
    "history_to_title",
    "titles_to_sid",
    "intention_to_sid",
    "history_to_preference",
]
"""The tasks that tie SIDs to texts (LC-Rec, MiniOneRec); each is a weight of `TasksConfig`."""

WRITTEN = ("intention_to_sid", "history_to_preference")
"""Those of them whose texts a teacher writes."""


class TasksConfig(SpecModel):
    """The mix of tasks: the loss is the sum of each task's mean over its answer tokens, times its weight."""

    next_item: float = Field(1.0, ge=0, description="Weight of: history of SIDs -> SID of the next item.")
    text_to_sid: float = Field(0.0, ge=0, description="Weight of: text of an item -> its SID.")
    sid_to_text: float = Field(0.0, ge=0, description="Weight of: SID of an item -> its text.")
    history_to_title: float = Field(
        0.0, ge=0, description="Weight of: history of SIDs -> title of the next item."
    )
    titles_to_sid: float = Field(
        0.0, ge=0, description="Weight of: titles of the history -> SID of the next item."
    )
    intention_to_sid: float = Field(
        0.0, ge=0, description="Weight of: the teacher's text of what a user wants -> SID of the next item."
    )
    history_to_preference: float = Field(
        0.0, ge=0, description="Weight of: history of SIDs -> the teacher's text of what the user likes."
    )
    teacher: Annotated[TeacherConfig, component("teacher")] = Field(
        "template",
        description="Writes the texts of intention_to_sid and history_to_preference.",
        validate_default=True,
    )
    max_samples: int = Field(
        10_000, ge=0, description="Training prompts that it writes about, drawn by the seed; 0 for all."
    )
    batch_size: int = Field(
        16, ge=1, description="Samples an update of each task but next_item, over all processes."
    )
    max_tokens: int = Field(64, ge=1, description="Tokens of an item's text or title, the first ones kept.")
    fields: tuple[ItemField, ...] = Field(
        DEFAULT_FIELDS, min_length=1, description="What the text of text_to_sid and sid_to_text is made of."
    )

    @property
    def texts(self) -> dict[TextTaskName, float]:
        """The weights of the tasks with texts that are on."""
        return {name: weight for name in get_args(TextTaskName) if (weight := getattr(self, name)) > 0}
