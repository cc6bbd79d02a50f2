"""Errors that are the user's to mend: one clear line each, exit code 2, never a traceback."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

_LONGEST = 1000
"""Characters of a line that are shown: a line may quote an id or a cell of any length."""


class UserError(Exception):
    """One or more mistakes in what the user gave; every line stands alone.

    Line ends and control characters that a quoted name may hold are written as escapes, and what makes a line
    very long is left out of its middle.
    """

    def __init__(self, *lines: str) -> None:
        self.lines = tuple(map(one_line, lines))
        super().__init__("\n".join(self.lines))


def one_line(text: str) -> str:
    """A text fit to be shown: on one line, without control characters, and not very long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 2 // 3]} … {text[-_LONGEST // 3 :]}"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint naming the valid name nearest to `name`, or all of them when none is near.

    >>> nearest("qwen", ["qwen3", "gpt2"])
    "did you mean 'qwen3'?"
    >>> nearest("zzz", ["qwen3", "gpt2"])
    'valid: gpt2, qwen3'
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "valid: " + (", ".join(names) if names else "none")


def nearest_file(path: str | os.PathLike[str]) -> str:
    """A hint naming what comes nearest among the names beside a missing file, nothing where none is near.

    A name that lacks but its suffix is nearest: `mine` beside `mine.yaml`. Names that share little more than
    a suffix are not near.
    """
    folder, name = os.path.split(os.path.normpath(path))
    try:
        beside = sorted(os.listdir(folder or "."))
    except (OSError, ValueError):
        return ""
    longer = [one for one in beside if one.startswith(f"{name}.")]
    close = longer or [one for one in difflib.get_close_matches(name, beside, n=5) if _alike(name, one)]
    return f"; did you mean {close[0]!r}?" if close else ""


def _alike(name: str, other: str) -> bool:
    stem, other = os.path.splitext(name)[0], os.path.splitext(other)[0]
    return difflib.SequenceMatcher(None, stem, other).ratio() >= 0.5
