"""Sentences of a reasoning text."""

from __future__ import annotations

import re
from itertools import pairwise

from lasar_kit.core.reasoning.strip import STEP_HEADING

_END = re.compile(r"(?<=[.!?])(?P<close>[\"'”’)\]*_]*)\s+(?=[\"'“‘(\[*_]*[A-Z0-9<])")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\[\"'“‘])(?:[Dd]r|[Mm]rs?|[Mm]s|[Ss]t|[Vv]s|[Oo]z|[Ff]l|[Ff]t|[Ll]bs?|[Mm]l|"
    r"[Cc]t|[Pp]ks?|[Pp]cs?|[Aa]pprox|[Ee]\.g|[Ii]\.e|[Ii]nc|[Ll]td|[Cc]o|[Jj]r|[Ss]r)\.$"
)
_OPENS = re.compile(r"^\W*(?:[a-z]+\s*[:\-])?\W*(?:(?:step\s*)?\d+[.):])?\W*$", re.IGNORECASE)
"""A fragment that only opens what follows: a number, a bullet, `Answer: 1.`, `Step 1.`"""

_HEADING = re.compile(rf"^{STEP_HEADING}", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """Sentences in order, stripped; line ends part them as well.

    A number or bullet of a list stays with what follows, and so does a `Step k` heading; the dot of a common
    abbreviation or unit ends no sentence.

    >>> sentences("1. Likes 4 oz. Oils. Dislikes soap!\\nStep 2: Taste\\nPrefers Dr. Bronner's.")
    ['1. Likes 4 oz. Oils.', 'Dislikes soap!', "Step 2: Taste Prefers Dr. Bronner's."]
    """
    parts: list[str] = []
    opening = ""  # what belongs to the sentence that follows
    for part in (part for line in text.splitlines() for part in split_sentences(line)):
        heading = _HEADING.match(part) is not None
        if opening and heading:  # a heading with no sentence under it
            parts.append(opening)
            opening = ""
        whole = f"{opening} {part}".lstrip()
        if _OPENS.match(whole) or (heading and part[-1] not in ".!?"):
            opening = whole
        else:
            opening = ""
            parts.append(whole)
    return [*parts, opening] if opening else parts


def split_sentences(line: str) -> list[str]:
    """The sentences of one line, stripped."""
    parts: list[str] = []
    start = 0
    for end in _END.finditer(line):
        part = line[start : end.end("close")]
        if _ABBREVIATED.search(part):
            continue
        parts.append(part.strip())
        start = end.end()
    parts.append(line[start:].strip())
    return [part for part in parts if part]


def joined_evenly(parts: list[str], most: int, between: str) -> list[str]:
    """At most `most` parts: neighbours are joined so that their numbers differ by one at most.

    >>> joined_evenly(["a", "b", "c", "d", "e"], 2, "")
    ['ab', 'cde']
    """
    if len(parts) <= most:
        return parts
    cuts = [part * len(parts) // most for part in range(most + 1)]
    return [between.join(parts[a:b]) for a, b in pairwise(cuts)]
