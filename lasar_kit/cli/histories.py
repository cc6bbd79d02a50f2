"""The histories that `lasar-kit recommend` and `explain` are asked about. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lasar_kit.errors import UserError
from lasar_kit.serve.histories import ids, lines, no_history

History = Annotated[
    str | None,
    typer.Option(metavar="ID,ID,…", help="Raw item ids, oldest first, as a row of CSV or a JSON list."),
]
Histories = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Many histories, one a line as of --history.")
]


def histories(one: str | None, many: Path | None, command: str = "recommend") -> list[tuple[str, list[str]]]:
    """Histories of raw item ids, oldest first, each behind the place it is given in: `--history`, or the line
    of a file. A history is a row of CSV, or a JSON list of texts.

    `UserError` unless one of both is given, or for lines that are neither, all of which are told.
    """
    if (one is None) == (many is None):
        raise UserError(f"{command}: give either --history ID,ID,… or --histories FILE")
    given = [("--history", one)] if one is not None else _placed(many) if many is not None else []
    parsed, mistakes = [], []
    for place, text in given:
        try:
            parsed.append((place, ids(text)))
        except ValueError:
            mistakes.append(no_history(place, text))
    if mistakes:
        raise UserError(*mistakes)
    return parsed


def _placed(file: Path) -> list[tuple[str, str]]:
    return [(f"{file}:{number}", line) for number, line in enumerate(lines(file), start=1)]
