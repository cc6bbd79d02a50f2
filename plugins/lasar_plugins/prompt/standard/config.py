"""Options of the prompt templates."""

from __future__ import annotations

from pydantic import Field, field_validator

from lasar_kit.spec import ComponentConfig


class BoundedConfig(ComponentConfig):
    """An option that all of them have."""

    max_length: int | None = Field(
        None,
        ge=1,
        description="Tokens of a prompt at most, text and SIDs; the oldest items of a history go. Thoughts "
        "and answer come on top.",
    )


class MiniOneRecConfig(BoundedConfig):
    """The template of MiniOneRec that the paper uses (E.2)."""


class SidOnlyConfig(BoundedConfig):
    """A start token, then the SIDs of the history, nothing else."""


class TemplateConfig(BoundedConfig):
    """A template of one's own."""

    text: str = Field(description="The prompt; `{history}` stands once, where the items' SIDs go.")
    separator: str = Field(", ", description="What stands between two items.")

    @field_validator("text")
    @classmethod
    def _one_history(cls, text: str) -> str:
        if text.count("{history}") != 1:
            raise ValueError("must contain {history} exactly once")
        return text
