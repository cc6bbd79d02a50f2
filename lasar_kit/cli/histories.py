"""The histories that `lasar-kit recommend` is asked about. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from lasar_kit.errors import UserError


def histories(one: str | None, many: Path | None) -> list[tuple[str, list[str]]]:
    """Histories of raw item ids, oldest first, each behind the place it is given in: `--history`, or the line
    of a file.

    `UserError` unless one of both is given, or for lines that are not ids with commas between them, all of
    which are told.
    """
    if (one is None) == (many is None):
        raise UserError("recommend: give either --history ID,ID,… or --histories FILE")
    given = [("--history", one)] if one is not None else _lines(many) if many is not None else []
    found = [(place, [item.strip() for item in text.split(",")]) for place, text in given]
    mistakes = [
        f"{place}: must be item ids with commas between them (got {text!r})"
        for (place, text), (_, ids) in zip(given, found, strict=True)
        if not all(ids)
    ]
    if mistakes:
        raise UserError(*mistakes)
    return found


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
