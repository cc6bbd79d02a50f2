"""Options of quantizers that give one code a level; imports no torch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lasar_kit.spec.bases import QuantizerConfig

CodebookSize = Annotated[int, Field(strict=True, ge=1)]


class LevelsConfig(QuantizerConfig):
    """Levels, and how many codes each of them has."""

    levels: int = Field(4, ge=1, le=26, description="Levels M, the length of a semantic ID.")
    codes: CodebookSize | Annotated[tuple[CodebookSize, ...], Field(min_length=1)] = Field(
        256, description="Codes a level: one number for all levels, or a list with one number a level."
    )

    @model_validator(mode="after")
    def _one_size_a_level(self) -> Self:
        if isinstance(self.codes, tuple) and len(self.codes) != self.levels:
            raise ValueError(f"codes lists {len(self.codes)} levels, but levels is {self.levels}")
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes at each level."""
        return self.codes if isinstance(self.codes, tuple) else (self.codes,) * self.levels
