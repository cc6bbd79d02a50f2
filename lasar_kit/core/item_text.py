"""One text an item, from the fields of the item table."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import polars as pl

from lasar_kit.core.item_fields import ItemField

_HIDDEN = re.compile(r"<!--.*?(?:-->|$)|<(script|style)\b[^<>]*>.*?(?:</\1\s*>|$)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(
    r"""</?[a-zA-Z][\w:-]*(?:\s+(?:[\w:.@-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+)|"""
    r"""async|autoplay|checked|compact|controls|defer|disabled|hidden|loop|muted|noshade|nowrap|readonly|"""
    r"""required|selected)(?=[\s/>]))*\s*/?>"""
)
""" "<b and c>" is none: its words are no attributes."""
_ENDS_SENTENCE = (".", "!", "?", ":", ";")


def clean(text: str) -> str:
    """Text with its HTML entities decoded, tags dropped, comments, scripts and styles with all they hold, and
    runs of white space made one space.

    Shop data is often escaped twice, so this goes on until nothing changes.

    >>> clean(" Salt &amp;amp; Pepper<br />\\n Mill<!-- .x {} --> <script>var a</script>")
    'Salt & Pepper Mill'
    """
    while True:
        before = text
        text = html.unescape(text) if "&" in text else text
        if "<" in text:
            text = _TAG.sub(" ", _HIDDEN.sub(" ", text))
        if text == before:
            return " ".join(text.split())


def is_blank(text: str) -> bool:
    """Whether nothing is left of a text once it is cleaned; faster than to clean it.

    >>> is_blank("<br/> &nbsp;"), is_blank(" - ")
    (True, False)
    """
    return not (clean(text) if "&" in text or "<" in text else text.strip())


def item_text(items: pl.DataFrame, fields: Sequence[ItemField]) -> list[str]:
    """ "title. brand. categories" of every item, in the order of the table.

    A field that is empty is skipped; an item without any has the empty text.
    """
    columns = [items[field].to_list() for field in fields]
    return [_join([clean(value or "") for value in row]) for row in zip(*columns, strict=True)]


def _join(parts: list[str]) -> str:
    """Non-empty parts as sentences, no full stop after one that already ends in punctuation."""
    kept = [part for part in parts if part]
    ended = [part if part.endswith(_ENDS_SENTENCE) else part + "." for part in kept[:-1]]
    return " ".join(ended + kept[-1:])
