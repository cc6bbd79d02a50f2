"""A prompt template, a teacher and a segmenter, each in its plainest form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.values import Env


class TinyPrompt:
    """`history: … next:`"""

    start_token = True
    head, separator, tail = "history: ", ", ", " next: "

    def __init__(self, config: Any, env: Env) -> None:
        pass


class TinyTeacher:
    """Names the last title, where there is one."""

    wants_target = False

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """One sentence a history."""
        for index, request in enumerate(requests):
            yield index, self.text(request)

    def text(self, request: ReasoningRequest) -> str | None:
        """Return the text about a history, if there is one."""
        title = request.history[-1].title if request.history else ""
        return f"The last purchase was {title}." if title else None


class TinySegmenter:
    """A segment a line."""

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def segment(self, text: str) -> list[str]:
        """Lines that hold anything."""
        return [line.strip() for line in text.splitlines() if line.strip()]
