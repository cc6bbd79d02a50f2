"""The histories that `lasar-kit recommend` and `explain` are asked about. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from lasar_kit.errors import UserError

History = Annotated[
    str | None,
    typer.Option(metavar="ID,ID,…", help="Raw item ids, oldest first, as a row of CSV or a JSON list."),
]
Histories = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Many histories, one a line as of --history.")
]

_CELL = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,]*?))\s*(?:,|$)')
"""An id in quotes, in which a quote is written twice, or one without, whose outer blanks do not count."""


def histories(one: str | None, many: Path | None, command: str = "recommend") -> list[tuple[str, list[str]]]:
    """Histories of raw item ids, oldest first, each behind the place it is given in: `--history`, or the line
    of a file. A history is a row of CSV, or a JSON list of texts.

    `UserError` unless one of both is given, or for lines that are neither, all of which are told.
    """
    if (one is None) == (many is None):
        raise UserError(f"{command}: give either --history ID,ID,… or --histories FILE")
    given = [("--history", one)] if one is not None else _lines(many) if many is not None else []
    parsed, mistakes = [], []
    for place, text in given:
        try:
            parsed.append((place, _ids(text)))
        except ValueError:
            mistakes.append(
                f"{place}: must be item ids with commas between them, those that hold commas or quotes in "
                f"quotes, or a JSON list of texts (got {text!r})"
            )
    if mistakes:
        raise UserError(*mistakes)
    return parsed


def _ids(text: str) -> list[str]:
    """The ids of one history; `ValueError` for none, or an empty one."""
    ids = _listed(text)
    if ids is None:
        ids, end, more = [], 0, True
        while more:
            cell = _CELL.match(text, end)
            if cell is None:
                raise ValueError(text)
            ids.append(cell[2] if cell[1] is None else cell[1].replace('""', '"'))
            end, more = cell.end(), cell[0].endswith(",")
    if not ids or not all(ids):
        raise ValueError(text)
    return ids


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


def _lines(file: Path) -> list[tuple[str, str]]:
    try:
        with file.open(encoding="utf-8-sig") as opened:
            lines = [line.rstrip("\n") for line in opened]
    except OSError as error:
        raise UserError(f"--histories {file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"--histories {file}: must be UTF-8 (byte {error.start})") from None
    if not lines:
        raise UserError(f"--histories {file}: holds no history")
    return [(f"{file}:{number}", line) for number, line in enumerate(lines, start=1)]
