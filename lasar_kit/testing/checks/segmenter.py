"""Laws for every segmenter (paper 2.3)."""

from __future__ import annotations

from typing import Any

from lasar_kit.core.interfaces import Segmenter
from lasar_kit.testing.contract import Contract, Subject, expect
from lasar_kit.testing.item_strategies import TEXTS


def _act(component: Segmenter, inputs: str) -> dict[str, Any]:
    return {"segments": component.segment(inputs)}


segmenter = Contract(
    "segmenter", Segmenter, TEXTS, lambda case: case, _act, changeable=False, forgets=True, examples=40
)


@segmenter.check("Strip segments and drop the empty ones.")
def segments_are_not_empty(subject: Subject, case: str) -> None:
    """Segments are a list of texts, none of them empty or blank."""
    segments = subject.component.segment(case)
    expect(isinstance(segments, list), f"segments are a {type(segments).__name__}, not a list")
    expect(all(isinstance(part, str) and part.strip() for part in segments), f"segments are {segments!r}")


@segmenter.check("Return [] for a text without content, and else a segment or more.")
def only_an_empty_text_has_none(subject: Subject, case: str) -> None:
    """A blank text has no segment; any other has at least one."""
    count = len(subject.component.segment(case))
    expect(bool(count) == bool(case.strip()), f"{count} segments")


@segmenter.check("Cut the text where it is; add, repeat and reorder nothing.")
def segments_follow_the_text(subject: Subject, case: str) -> None:
    """Segments stand in the text in their order, spaces aside."""
    rest = "".join(case.split())
    for place, segment in enumerate(subject.component.segment(case)):
        content = "".join(segment.split())
        _, found, rest = rest.partition(content)
        expect(found, f"segment {place}, {segment!r}, does not stand in the text where it should")
