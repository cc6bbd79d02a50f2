"""A language model's answer as a teacher hands it on."""

from __future__ import annotations

import re

from lasar_kit.core.item_text import clean
from lasar_kit.core.reasoning.sentences import split_sentences
from lasar_kit.core.reasoning.strip import strip_recommendation


def finished(text: str, recommendation: str, thinking: bool = False, title: str = "") -> str | None:
    """An answer without the model's private thoughts (`<think>…</think>`) and, unless `recommendation` is
    "keep", without the recommendation and the sentences that name `title`; None if nothing is left.

    `thinking` says that the prompt had opened the thoughts. Where they never close there is no answer.
    """
    _, closed, answer = text.rpartition("</think>")
    if "<think>" in answer or (thinking and not closed):
        return None
    answer = answer.strip()
    if recommendation != "keep":
        answer = without_title(strip_recommendation(answer), title)
    return answer or None


def without_title(text: str, title: str) -> str:
    """The text without the sentences that hold an item's title, in any case and spacing.

    >>> without_title("Likes oils. So the next item is  rose toner.\\nStep 2: Cleans.", "Rose Toner")
    'Likes oils.\\nStep 2: Cleans.'
    """
    words = clean(title).split()
    if not words:
        return text
    spaced = r"\s+".join(map(re.escape, words))
    named = re.compile(rf"(?<!\w){spaced}(?!\w)", re.IGNORECASE)
    lines = []
    for line in text.split("\n"):
        if named.search(line):
            line = " ".join(part for part in split_sentences(line) if not named.search(part))
            if not line:
                continue
        lines.append(line)
    return "\n".join(lines).strip()
