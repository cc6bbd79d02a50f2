"""Options of the prompt templates."""

from __future__ import annotations

from pydantic import Field, field_validator

from lasar_kit.spec import ComponentConfig


class MiniOneRecConfig(ComponentConfig):
    """No options: the template of MiniOneRec that the paper uses (E.2)."""


class SidOnlyConfig(ComponentConfig):
    """No options: a start token, then the SIDs of the history, nothing else."""


class TemplateConfig(ComponentConfig):
    """A template of one's own."""

    text: str = Field(description="The prompt; `{history}` stands once, where the items' SIDs go.")
    separator: str = Field(", ", description="What stands between two items.")

    @field_validator("text")
    @classmethod
    def _one_history(cls, text: str) -> str:
        if text.count("{history}") != 1:
            raise ValueError("must contain {history} exactly once")
        return text
