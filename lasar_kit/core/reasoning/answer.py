"""A language model's answer as a teacher hands it on."""

from __future__ import annotations

import re

from lasar_kit.core.item_text import clean
from lasar_kit.core.reasoning.sentences import split_sentences
from lasar_kit.core.reasoning.strip import strip_recommendation

_TAGS = r"(?:think(?:ing)?|thoughts?|reasoning|seed:think)"
_OPENS = re.compile(rf"<{_TAGS}>|\[THINK\]|◁think▷", re.IGNORECASE)
_OPENED = re.compile(rf"(?:{_OPENS.pattern})\s*$", re.IGNORECASE)
_CLOSES = re.compile(rf"</{_TAGS}>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)(?:[^<]|<\|constrain\|>)*<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_CHANNELS = re.compile(r"\s*analysis.*assistantfinal(?P<final>.*)", re.DOTALL)
"""Of an endpoint that dropped the special tokens around the names of the channels."""


def finished(text: str, recommendation: str, thinking: bool = False, title: str = "") -> str | None:
    """An answer as `without_thoughts` and, unless `recommendation` is "keep", without the recommendation and
    the sentences that name `title`; None if nothing is left.

    Half surrogate pairs, which JSON escapes may hold and UTF-8 cannot, become question marks.
    """
    answer = without_thoughts(text.encode("utf-8", "replace").decode(), thinking)
    if recommendation != "keep":
        answer = without_title(strip_recommendation(answer), title)
    return answer or None


def without_thoughts(text: str, thinking: bool = False) -> str:
    """An answer without the model's private thoughts, in tags such as `<think>…</think>` or in channels.

    `thinking` says that the prompt had opened the thoughts. Where they never close there is no answer: the
    empty text.

    >>> without_thoughts("<thinking>It is soap.</thinking> Likes oils.")
    'Likes oils.'
    >>> without_thoughts("<|channel|>analysis<|message|>Soap?<|end|><|channel|>final<|message|>Likes oils.")
    'Likes oils.'
    """
    if (bare := _BARE_CHANNELS.fullmatch(text)) is not None:
        return bare["final"].strip()
    if channels := [*_CHANNEL.finditer(text)]:
        last = channels[-1]
        return _CHANNEL_END.split(text[last.end() :])[0].strip() if last[1] == "final" else ""
    ends = [found.end() for found in _CLOSES.finditer(text)]
    answer = text[ends[-1] :] if ends else text
    if _OPENS.search(answer) or (thinking and not ends):
        return ""
    return answer.strip()


def opens_thoughts(prompt: str) -> bool:
    """Whether a prompt ends by opening the model's thoughts, as some chat templates do.

    >>> opens_thoughts("<assistant><think>\\n"), opens_thoughts("<assistant><think></think>")
    (True, False)
    """
    return _OPENED.search(prompt) is not None


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
