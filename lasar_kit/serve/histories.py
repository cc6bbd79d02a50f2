"""Histories as they are written: one a line, as a row of CSV or a JSON list. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from lasar_kit.errors import UserError

_CELL = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,]*?))\s*(?:,|$)')
"""An id in quotes, in which a quote is written twice, or one without, whose outer blanks do not count."""


def ids(text: str) -> list[str]:
    """Return the raw item ids of one history, oldest first; raise `ValueError` for none, or an empty one."""
    found = _listed(text)
    if found is None:
        found, end, more = [], 0, True
        while more:
            cell = _CELL.match(text, end)
            if cell is None:
                raise ValueError(text)
            found.append(cell[2] if cell[1] is None else cell[1].replace('""', '"'))
            end, more = cell.end(), cell[0].endswith(",")
    if not found or not all(found):
        raise ValueError(text)
    return found


def no_history(place: str, text: str) -> str:
    """Return the line that tells of a text that `ids` refuses."""
    return (
        f"{place}: must be item ids with commas between them, those that hold commas or quotes in "
        f"quotes, or a JSON list of texts (got {text!r})"
    )


def lines(file: Path) -> Iterator[str]:
    """Yield the lines of a file, one after another; raise `UserError` where it cannot be read, or holds
    none."""
    empty = True
    try:
        with file.open(encoding="utf-8-sig") as opened:
            for line in opened:
                empty = False
                yield line.rstrip("\n")
    except OSError as error:
        raise UserError(f"--histories {file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"--histories {file}: must be UTF-8 (byte {error.start})") from None
    if empty:
        raise UserError(f"--histories {file}: holds no history")


def _listed(text: str) -> list[str] | None:
    """A JSON list of texts, or an object with one under `history`, as `--json` prints; else None."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        value = value.get("history")
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(text)
    return value
