"""Takes the answer out of a teacher's text, so that no anchor encodes the label."""

from __future__ import annotations

import re

STEP = r"(?:step|stage)\s*(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)"
STEP_HEADING = rf"(?:[#>*_\-\s]*\b{STEP}[*_]*(?:\s*[:.)\u2013\u2014-]|[ \t]*$))"
"""A heading such as `Step 2: …`, `**Step two**` or `### Stage 2 - …`, any case."""

_HIDDEN = "\ufffc"
"""Stands for SIDs while lines are judged, so that a line of SIDs counts as one that says something."""

_SIDS = re.compile(r"(?:<\|?[a-z]_\d+\|?>[\s,]*?)+")
_NAMES = (
    r"(?:(?:final|top|my|our|the)\s+)*"
    r"(?:recommendations?"
    r"|recommended(?:\s+next)?(?:\s+(?:item|product|purchase)s?)?"
    r"|(?:predicted\s+|likely\s+)*next\s+(?:item|product|purchase)s?"
    r"|predicted\s+(?:item|product|purchase)s?"
    r"|target\s+(?:item|product)"
    r"|predictions?)"
)
_LEAD = rf"[\s#>*_\-•{_HIDDEN}]*(?:\d+[.)]\s*)?(?:{STEP}\s*[:.)\u2013\u2014-]\s*)?[*_]*"
_LABEL = re.compile(rf"^{_LEAD}{_NAMES}\s*[*_]*\s*(?::[*_]*|=|$)(?P<rest>.*)$", re.IGNORECASE)
_INLINE = re.compile(rf"(?<=[.!?{_HIDDEN}])\s*[*_]*{_NAMES}[*_]*\s*:.*?(?=\s*\b{STEP}\s*:|$)", re.IGNORECASE)
_STEP = re.compile(STEP_HEADING, re.IGNORECASE)


def strip_recommendation(text: str) -> str:
    """The text without its recommendation and without any SID; nothing else is changed but outer space.

    A line that begins like `Recommendation:` (or `Next item:`, `Prediction:`, …) goes; if nothing follows
    on it, so does the paragraph below, up to a `Step k` heading. A line of nothing but SIDs goes as well.

    >>> strip_recommendation("Step 1: Likes oils.\\nRecommendation: <a_125><b_9>")
    'Step 1: Likes oils.'
    """
    while (stripped := _strip_once(text)) != text:
        text = stripped
    return text


def _strip_once(text: str) -> str:
    kept = []
    under = dropped = False  # within what belongs to a bare label; whether some of that has gone
    for line in _SIDS.sub(_HIDDEN, text).split("\n"):
        label = _LABEL.match(line)
        if label:
            under, dropped = not label["rest"].strip(" *_"), False
            continue
        if under and (_STEP.match(line) or (dropped and not line.strip())):
            under = False
        if under:
            dropped = dropped or bool(line.strip())
            continue
        line = _INLINE.sub("", line)
        if _HIDDEN in line:
            line = re.sub(rf" ?{_HIDDEN}", "", line).rstrip()
            if not re.search(r"\w", line):
                continue
        kept.append(line)
    return "\n".join(kept).strip()
