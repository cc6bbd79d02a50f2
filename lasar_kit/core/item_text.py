"""One text an item, from the fields of the item table."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import polars as pl

from lasar_kit.core.item_fields import ItemField

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_ENDS_SENTENCE = (".", "!", "?", ":", ";")


def clean(text: str) -> str:
    """Text with its HTML entities decoded, its tags dropped and runs of white space made one space.

    Shop data is often escaped twice, so decoding goes on until nothing changes.

    >>> clean(" Salt &amp;amp; Pepper<br />\\n Mill ")
    'Salt & Pepper Mill'
    """
    while (decoded := html.unescape(text)) != text:
        text = decoded
    return " ".join(_TAG.sub(" ", text).split())


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
