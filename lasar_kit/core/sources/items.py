"""Item text: one row of strings an item, and the table of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset
from lasar_kit.core.item_text import clean
from lasar_kit.core.reading import Reading
from lasar_kit.core.sources.interactions import Histories

_AMOUNT = re.compile(r"(?:from )?[$€£¥]?\s*(\d[\d.,]*)\s*[€£¥]?(?:\s*-.*)?", re.DOTALL)
_POINT = re.compile(r"(\d+|\d{1,3}(?:,\d{3})+)(\.\d+)?")
_COMMA = re.compile(r"(\d+|\d{1,3}(?:\.\d{3})+),(\d{1,2})")


_NOTHING = Reading()


class ItemText(NamedTuple):
    """A shop's texts about an item; fields in the order of `ITEM_COLUMNS`, absent ones empty."""

    title: str = ""
    brand: str = ""
    categories: str = ""
    description: str = ""
    price: str = ""
    features: str = ""


TEXT_FIELDS = ItemText._fields


def item_table(ids: Sequence[str], text: Mapping[str, ItemText]) -> pl.DataFrame:
    """The item table, in the order of `ids`; an id that `text` lacks has empty text.

    Half surrogate pairs, which JSON escapes may hold and UTF-8 cannot, become question marks.
    """
    absent = ItemText()
    rows = [text.get(raw, absent) for raw in ids]
    columns = {
        name: [cell if cell.isascii() else cell.encode("utf-8", "replace").decode() for cell in cells]
        for name, cells in ((name, (row[place] for row in rows)) for place, name in enumerate(TEXT_FIELDS))
    }
    return pl.DataFrame({"id": ids, **columns}, schema=dict.fromkeys(ITEM_COLUMNS, pl.String))


def dataset(histories: Histories, text: Mapping[str, ItemText], reading: Reading = _NOTHING) -> Dataset:
    """Histories and the text of their items; `reading` tells of the item file, and of remarks."""
    reading = replace(
        reading,
        found=histories.found,
        left_out=histories.left_out,
        times=histories.times,
        ties_drawn=histories.ties_drawn,
    )
    return Dataset(histories.users, item_table(histories.items, text), histories.sequences, reading=reading)


def plain(value: object) -> str:
    """Text without HTML tags and entities, white space collapsed; a list is joined by spaces.

    >>> plain(["<b>Soft</b> &amp;", "light"])
    'Soft & light'
    """
    if isinstance(value, list):
        return plain(" ".join(str(part) for part in value if part is not None))
    if value is None:
        return ""
    return clean(str(value))


def names(value: object) -> str:
    """Category names joined by ", ", nested lists flattened, the first of equal names kept.

    >>> names([["Beauty", "Nails"], ["Beauty", "Hair"]])
    'Beauty, Nails, Hair'
    """
    if not isinstance(value, list):
        return plain(value)
    flat: list[object] = []
    for part in value:
        flat.extend(part if isinstance(part, list) else [part])
    return ", ".join(dict.fromkeys(name for name in map(plain, flat) if name))


def price(value: object) -> str:
    """A price as a plain number, the lower end of a range; empty if it is not one.

    A comma before one or two last digits is a decimal comma, one before three is a thousands separator.

    >>> price("$1,012.99 - $1,300"), price(5.0), price("19,99"), price("1.299,00 €"), price(".a-box-inner{}")
    ('1012.99', '5.0', '19.99', '1299.00', '')
    """
    amount = _AMOUNT.fullmatch("" if value is None else str(value).strip())
    if not amount:
        return ""
    if plain_number := _POINT.fullmatch(amount[1]):
        return plain_number[1].replace(",", "") + (plain_number[2] or "")
    if with_comma := _COMMA.fullmatch(amount[1]):
        return f"{with_comma[1].replace('.', '')}.{with_comma[2]}"
    return ""
