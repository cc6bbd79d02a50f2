"""Prompts, teachers and segmenters that break their laws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.spec import ComponentConfig
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.tiny import TinyPrompt, TinySegmenter, TinyTeacher

BROKEN: Saboteurs = {}


@breaks(BROKEN, "prompt", "parts_are_texts")
class NoTail(TinyPrompt):
    """Has no tail."""

    tail: Any = None


@breaks(BROKEN, "prompt", "no_added_tokens_in_the_text")
class StartsToThink(TinyPrompt):
    """Ends with the token that the loop begins with."""

    tail = " next: <|lat_s|>"


class Marked(ComponentConfig):
    """A text with a mark in it."""

    text: str = Field("Bought {history}, now ", description="The prompt.")


class Stripped(TinyPrompt):
    """Takes the space before the history for none of its own."""

    head, tail = "Bought", ", now "


BROKEN["prompt", "history_stands_where_it_is_marked"] = Subject(
    "prompt", "Stripped", lambda env: Stripped(None, env), Marked(use="marked")
)


@breaks(BROKEN, "teacher", "each_request_is_answered_once")
class PassesOver(TinyTeacher):
    """Is silent on what it has no text for."""

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        yield from ((index, text) for index, text in super().write(requests) if text)


@breaks(BROKEN, "teacher", "histories_are_judged_alone")
class Compares(TinyTeacher):
    """Writes of the other users too."""

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        for index, text in super().write(requests):
            yield index, text and f"{text} One of {len(requests)} customers."


@breaks(BROKEN, "teacher", "target_is_read_only_if_wanted")
class Peeks(TinyTeacher):
    """Reads the answer without asking for it."""

    def text(self, request: ReasoningRequest) -> str | None:
        text = super().text(request)
        return f"{text} Next comes {request.target.title}." if request.target else text


@breaks(BROKEN, "segmenter", "segments_are_not_empty")
class KeepsBlanks(TinySegmenter):
    """Keeps blank lines."""

    def segment(self, text: str) -> list[str]:
        return text.split("\n") if text.strip() else []


@breaks(BROKEN, "segmenter", "only_an_empty_text_has_none")
class LongOnesOnly(TinySegmenter):
    """Drops short lines, all of them if need be."""

    def segment(self, text: str) -> list[str]:
        return [line for line in super().segment(text) if len(line) > 3]


@breaks(BROKEN, "segmenter", "segments_follow_the_text")
class Numbers(TinySegmenter):
    """Puts a heading before each segment."""

    def segment(self, text: str) -> list[str]:
        return [f"Step {place}: {line}" for place, line in enumerate(super().segment(text), start=1)]
