"""LC-Rec's files: NAME.inter.json holds each user's item ids, oldest first, NAME.item.json their text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.reading import Counts, Reading
from lasar_kit.core.sources import text_files
from lasar_kit.core.sources.interactions import MIN_SEQUENCE
from lasar_kit.core.sources.items import TEXT_FIELDS, ItemText, item_table, price
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError, nearest
from lasar_plugins.dataset.lcrec.config import LcRecConfig

SUFFIX = ".inter.json"
_USED = 0.9
"""The share of the other items in use from which on it is odd that the first one is not."""


class LcRecSource:
    """The whole catalogue of NAME.item.json, and the users with three items or more."""

    def __init__(self, config: LcRecConfig, env: Env) -> None:
        self.config = config

    def files(self) -> Sequence[Path]:
        path = self.config.path
        with text_files.readable(path):
            folder = not path.is_file()
        interactions = text_files.only_file(path, "*" + SUFFIX) if folder else path
        if not interactions.name.endswith(SUFFIX):
            raise UserError(f"{interactions}: expected a folder, or a file NAME{SUFFIX}")
        items = interactions.with_name(interactions.name.removesuffix(SUFFIX) + ".item.json")
        return [interactions, text_files.require_file(items)]

    def load(self) -> Dataset:
        interactions, items = self.files()
        text, unused = read_items(items, self.config.encoding)
        histories = read_histories(interactions, items, len(text), self.config.encoding)
        left = [("", histories)]
        if self.config.copies == "drop":
            left.append(
                ("copies", {user: [item for item, _ in groupby(row)] for user, row in histories.items()})
            )
        kept = {user: row for user, row in left[-1][1].items() if len(row) >= MIN_SEQUENCE}
        left.append(("short_users", kept))
        if not kept:
            raise UserError(f"{interactions}: no user has {MIN_SEQUENCE} items, which leave-one-out needs")
        sequences = Sequences.of(list(kept.values()))
        counted = [(name, _counts(rows)) for name, rows in left]
        gone = {name: before - after for (_, before), (name, after) in pairwise(counted)}
        reading = Reading(
            found=counted[0][1],
            left_out={name: count for name, count in gone.items() if count.interactions},
            item_file=items.name,
            unused=unused,
            remarks=_shifted(interactions, items, sequences, len(text)),
        )
        table = item_table([str(row) for row in range(len(text))], text)
        return Dataset(tuple(kept), table, sequences, reading=reading)


def _counts(histories: dict[str, list[int]]) -> Counts:
    items = {item for row in histories.values() for item in row}
    return Counts(len(histories), len(items), sum(map(len, histories.values())))


def _shifted(path: Path, items_path: Path, sequences: Sequences, items: int) -> tuple[str, ...]:
    """Whether ids seem to be counted from 1 in one file and from 0 in the other: the first one is unused."""
    used = np.bincount(sequences.items, minlength=items) > 0
    if used[0] or not used[1:].mean() >= _USED:
        return ()
    return (
        f"item 0 is in no sequence of {path.name}, and nearly all others are: are its ids counted from 1, "
        f"and those of {items_path.name} from 0? Every item then has its neighbour's text",
    )


def _by_number(path: Path, what: str, encoding: str) -> dict[str, Any]:
    """A JSON object whose keys are numbers, ordered by them."""
    table = text_files.read_json(path, encoding)
    if not isinstance(table, dict):
        got = type(table).__name__
        raise UserError(f"{path}: expected a JSON object with {what} ids as keys, got a {got}")
    if not table:
        raise UserError(f"{path}: holds no {what}s")
    for key in table:
        if not (key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key):
            raise UserError(f"{path}: expected {what} ids 0, 1, 2, … as keys, got {key!r:.60}")
    return {key: table[key] for key in sorted(table, key=int)}


def read_items(path: Path, encoding: str = "utf-8") -> tuple[dict[str, ItemText], tuple[str, ...]]:
    """Text of the items, whose ids run from 0 without a gap, and the names of fields that are not read."""
    table = _by_number(path, "item", encoding)
    for row, key in enumerate(table):
        if key != str(row):
            raise UserError(f"{path}: item ids must run from 0 without a gap; {row} is missing")
    text = {key: _item(path, key, fields) for key, fields in table.items()}
    names = dict.fromkeys(name for fields in table.values() for name in fields)
    return text, tuple(name for name in names if name not in TEXT_FIELDS)


def _item(path: Path, key: str, fields: object) -> ItemText:
    if not isinstance(fields, dict):
        raise UserError(f"{path}: item {key}: expected an object with a title, got {fields!r:.60}")
    if not any(field in fields for field in TEXT_FIELDS):
        got = next(iter(fields), "")
        raise UserError(
            f"{path}: item {key}: has none of {', '.join(TEXT_FIELDS)}; {got!r}: {nearest(got, TEXT_FIELDS)}"
        )
    text = ItemText(**{field: _text(path, key, field, fields.get(field)) for field in TEXT_FIELDS})
    return text._replace(price=price(text.price) or text.price)


def _text(path: Path, key: str, field: str, value: object) -> str:
    """A field as text; lists are joined by commas, numbers written out."""
    if isinstance(value, list):
        return ", ".join(_text(path, key, field, part) for part in value)
    if value is None or value != value:  # null or NaN
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise UserError(f"{path}: item {key}: {field}: expected a text, got {value!r:.60}")


def read_histories(path: Path, items_path: Path, items: int, encoding: str = "utf-8") -> dict[str, list[int]]:
    """Each user's items, all below `items`."""
    table = _by_number(path, "user", encoding)
    for user, row in table.items():
        if not isinstance(row, list):
            raise UserError(f"{path}: user {user}: expected a list of item ids, got {row!r:.60}")
        for item in row:
            if not isinstance(item, int) or isinstance(item, bool):
                raise UserError(
                    f"{path}: user {user}: expected an item id as a whole number, got {item!r:.60}"
                )
            if not 0 <= item < items:
                raise UserError(
                    f"{path}: user {user}: item {item} is not in {items_path}, whose ids are 0 to {items - 1}"
                )
    return table
