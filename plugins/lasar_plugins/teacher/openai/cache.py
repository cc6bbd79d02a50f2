"""Answers on disk: an append-only file of JSON lines."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from lasar_kit.errors import UserError

FILE = "answers.jsonl"


@dataclass(frozen=True)
class Answer:
    """A model's reply, None if nothing, and what it took."""

    text: str | None
    prompt_tokens: int = 0
    answer_tokens: int = 0
    finish: str = ""


class AnswerCache:
    """Answers by the hash of what was asked; may be written from several threads.

    A line is written whole and at once, so a line cut short can only stem from a crash; such a line is passed
    over, and its question asked again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = Lock()
        self._answers: dict[str, Answer] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stored = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise UserError(f"{self.path}: the cache cannot be used ({error.strerror or error})") from None
        for line in stored.split(b"\n"):
            entry = _read(line)
            if entry:
                self._answers[entry[0]] = entry[1]
        self._torn = bool(stored) and not stored.endswith(b"\n")

    def get(self, key: str) -> Answer | None:
        return self._answers.get(key)

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; on disk when this returns."""
        line = json.dumps({"key": key, **asdict(answer)}, ensure_ascii=True) + "\n"
        with self._lock:
            start, self._torn = "\n" if self._torn else "", False
            try:
                with self.path.open("ab", buffering=0) as file:
                    file.write((start + line).encode("ascii"))
                    os.fsync(file.fileno())
            except OSError as error:
                raise UserError(
                    f"{self.path}: an answer cannot be kept ({error.strerror or error})"
                ) from None
            self._answers[key] = answer


def _read(line: bytes) -> tuple[str, Answer] | None:
    try:
        row = json.loads(line)
        answer = Answer(row["text"], row["prompt_tokens"], row["answer_tokens"], row["finish"])
        sound = isinstance(row["key"], str) and isinstance(answer.text, str | None)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (row["key"], answer) if sound else None
