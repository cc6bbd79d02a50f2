"""Texts by user and place, from a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.reasoning.answer import finished
from lasar_kit.core.reasoning.prompt import told_title
from lasar_kit.core.sources.text_files import lines
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError, nearest
from lasar_plugins.teacher.jsonl.config import JsonlTeacherConfig

KEYS = ("user", "end", "text")


class JsonlTeacher:
    """Hands on what the file holds; lines for other histories are passed over."""

    def __init__(self, config: JsonlTeacherConfig, env: Env) -> None:
        self.config = config
        self.wants_target = config.saw_target
        self.report = env.report

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """The text of each history; `UserError` on a wrong file, or a missing text where none may be missing.

        A file that has none of these texts is no mistake: they may be what is left of a longer list.
        """
        texts = read_texts(self.config.path)
        missing = [place for request in requests if (place := (request.user, request.end)) not in texts]
        if missing and self.config.missing == "error":
            user, end = missing[0]
            raise UserError(
                f"{self.config.path}: lacks the texts of {len(missing)} of {len(requests)} histories, "
                f"such as user {user!r}, end {end}"
            )
        for index, request in enumerate(requests):
            text = texts.get((request.user, request.end))
            shown = told_title(request, self.config.saw_target)
            yield index, finished(text, self.config.recommendation, title=shown) if text else None
        answered = float(len(requests) - len(missing))
        self.report({"done": float(len(requests)), "total": float(len(requests)), "found": answered})


def read_texts(path: Path) -> dict[tuple[str, int], str | None]:
    """Texts by (user, end); a text of null says that there is none."""
    texts: dict[tuple[str, int], str | None] = {}
    places: dict[tuple[str, int], int] = {}
    for number, line in lines(path):
        if not line.strip():
            continue
        key, text = _read_line(f"{path}:{number}", line)
        if key in texts:
            raise UserError(
                f"{path}:{number}: user {key[0]!r}, end {key[1]} stands on line {places[key]} already"
            )
        texts[key], places[key] = text, number
    return texts


def _read_line(place: str, line: str) -> tuple[tuple[str, int], str | None]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected an object with {', '.join(KEYS)}, got {type(row).__name__}")
    for key in KEYS:
        if key not in row:
            raise UserError(f"{place}: lacks {key!r}; it has {', '.join(map(repr, row)) or 'nothing'}")
    for key in row:
        if key not in KEYS:
            raise UserError(f"{place}: unknown key {key!r}; {nearest(key, KEYS)}")
    user, end, text = (row[key] for key in KEYS)
    if not isinstance(user, str):
        raise UserError(f"{place}: 'user' must be a text, the raw id (got {user!r})")
    if not isinstance(end, int) or isinstance(end, bool) or end < 1:
        raise UserError(f"{place}: 'end' must be an integer of at least 1 (got {end!r})")
    if not (text is None or isinstance(text, str)):
        raise UserError(f"{place}: 'text' must be a text or null (got {text!r})")
    return (user, end), text
