"""Errors that are the user's to mend: one clear line each, exit code 2, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One or more mistakes in what the user gave; every line stands alone."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


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
