"""Paths in a spec: what they are relative to, and which of them must be there when a run begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator


class SourcedText(str):
    """A string that remembers the folder its relative paths start from; the loader makes them."""

    base: Path

    def __new__(cls, text: str, base: Path) -> SourcedText:
        self = super().__new__(cls, text)
        self.base = base
        return self


def resolved(value: object) -> object:
    """An absolute path, as text, of a text or path; relative ones start where they were written."""
    if not isinstance(value, str | os.PathLike):
        return value
    base = value.base if isinstance(value, SourcedText) else Path.cwd()
    try:
        # As a text: pydantic takes no Path where a config is read from JSON.
        return str((base / Path(value).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # no such home, links in a circle, a null character
        raise ValueError(f"is no path: {error}") from None


class MustExist:
    """Marks a path, or a text that may be one, that a run reads: it must be there at the start."""


NewPath = Annotated[Path, BeforeValidator(resolved)]
"""A path of a spec: relative ones start at the file they stand in, or at the cwd when given by `--set`.

Nothing need be there: it is for what a run writes."""

SpecPath = Annotated[NewPath, MustExist()]
"""A `NewPath` to something that a run reads, which refuses to begin where it is missing."""
