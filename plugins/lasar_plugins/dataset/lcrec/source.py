"""LC-Rec's files: NAME.inter.json holds each user's item ids, oldest first, NAME.item.json their text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.sources import text_files
from lasar_kit.core.sources.interactions import MIN_SEQUENCE
from lasar_kit.core.sources.items import TEXT_FIELDS, ItemText, item_table
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError, nearest
from lasar_plugins.dataset.lcrec.config import LcRecConfig

SUFFIX = ".inter.json"


class LcRecSource:
    """The whole catalogue of NAME.item.json, and the users with three items or more."""

    def __init__(self, config: LcRecConfig, env: Env) -> None:
        self.config = config

    def files(self) -> Sequence[Path]:
        interactions = text_files.only_file(self.config.path, "*" + SUFFIX)
        items = interactions.with_name(interactions.name.removesuffix(SUFFIX) + ".item.json")
        return [interactions, text_files.require_file(items)]

    def load(self) -> Dataset:
        interactions, items = self.files()
        text = read_items(items)
        histories = read_histories(interactions, items, len(text))
        kept = {user: row for user, row in histories.items() if len(row) >= MIN_SEQUENCE}
        if not kept:
            raise UserError(f"{interactions}: no user has {MIN_SEQUENCE} items, which leave-one-out needs")
        lengths = np.array([len(row) for row in kept.values()], dtype=np.int64)
        flat = np.fromiter((item for row in kept.values() for item in row), np.int32, lengths.sum())
        sequences = Sequences(np.concatenate([[0], lengths.cumsum()]), flat)
        return Dataset(tuple(kept), item_table([str(row) for row in range(len(text))], text), sequences)


def _by_number(path: Path, what: str) -> dict[str, Any]:
    """A JSON object whose keys are numbers, ordered by them."""
    table = text_files.read_json(path)
    if not isinstance(table, dict):
        got = type(table).__name__
        raise UserError(f"{path}: expected a JSON object with {what} ids as keys, got a {got}")
    if not table:
        raise UserError(f"{path}: holds no {what}s")
    for key in table:
        if not (key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key):
            raise UserError(f"{path}: expected {what} ids 0, 1, 2, … as keys, got {key!r:.60}")
    return {key: table[key] for key in sorted(table, key=int)}


def read_items(path: Path) -> dict[str, ItemText]:
    """Text of the items, whose ids run from 0 without a gap."""
    table = _by_number(path, "item")
    for row, key in enumerate(table):
        if key != str(row):
            raise UserError(f"{path}: item ids must run from 0 without a gap; {row} is missing")
    return {key: _item(path, key, fields) for key, fields in table.items()}


def _item(path: Path, key: str, fields: object) -> ItemText:
    if not isinstance(fields, dict):
        raise UserError(f"{path}: item {key}: expected an object with a title, got {fields!r:.60}")
    if not any(field in fields for field in TEXT_FIELDS):
        got = next(iter(fields), "")
        raise UserError(
            f"{path}: item {key}: has none of {', '.join(TEXT_FIELDS)}; {got!r}: {nearest(got, TEXT_FIELDS)}"
        )
    return ItemText(**{field: _text(path, key, field, fields.get(field)) for field in TEXT_FIELDS})


def _text(path: Path, key: str, field: str, value: object) -> str:
    """A field as text; lists are joined by commas, numbers written out."""
    if isinstance(value, list):
        return ", ".join(_text(path, key, field, part) for part in value)
    if value is None or value != value:  # null or NaN
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise UserError(f"{path}: item {key}: {field}: expected a text, got {value!r:.60}")


def read_histories(path: Path, items_path: Path, items: int) -> dict[str, list[int]]:
    """Each user's items, all below `items`."""
    table = _by_number(path, "user")
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
