"""Records of the Amazon dumps: one object a line, JSON or, in the loose files of 2014, a Python literal."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lasar_kit.core.sources import text_files
from lasar_kit.errors import UserError, nearest

Record = dict[str, Any]


@dataclass(frozen=True)
class Fields:
    """A release's names of user, item, time and rating, and of the item in its metadata."""

    user: str
    item: str
    time: str
    rating: str
    metadata_item: str


OLD = Fields("reviewerID", "asin", "unixReviewTime", "overall", "asin")
NEW = Fields("user_id", "parent_asin", "timestamp", "rating", "parent_asin")
RELEASES = {"2014": OLD, "2018": OLD, "2023": NEW}


_LINE_ENDS = ("\n", "\r\n", "")


def records(path: Path, encoding: str) -> Iterator[tuple[int, Record]]:
    """The objects of a file with their line numbers, one in memory at a time; blank lines are passed over."""
    blank, read = True, json.JSONDecoder().raw_decode
    for number, line in text_files.lines(path, encoding):
        try:  # most lines are an object and a line end; `json.loads` takes half as long again
            record, end = read(line)
            whole = type(record) is dict and line[end:] in _LINE_ENDS
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            if not line.strip():
                continue
            record = parse(path, number, line)
        blank = False
        yield number, record
    if blank:
        raise UserError(f"{path}: holds no line but blank ones")


def parse(path: Path, number: int, line: str) -> Record:
    """One line as an object: JSON first, since literal evaluation is some twenty times slower."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of backslashes in descriptions
                record = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise UserError(
                f"{path}:{number}: is neither a JSON object nor a Python literal; is the file complete?"
            ) from None
    if not isinstance(record, dict):
        raise UserError(f"{path}:{number}: expected an object, got {line.strip()!r:.60}")
    return record


def fields_of(path: Path, record: Record, release: str) -> Fields:
    """The field names of the release that was named, or of the first one that fits the record."""
    if release != "auto":
        return RELEASES[release]
    for fields in (NEW, OLD):
        if {fields.user, fields.item, fields.time} <= record.keys():
            return fields
    raise UserError(
        f"{path}:1: is no Amazon review: expected {NEW.user}, {NEW.item}, {NEW.time} (2023) or "
        f"{OLD.user}, {OLD.item}, {OLD.time} (2014, 2018), got {', '.join(map(str, record)) or 'no field'}"
    )


def identity(path: Path, number: int, record: Record, field: str) -> str:
    """An id, which must be a text that is not empty."""
    value = record.get(field)
    if not isinstance(value, str) or not value or not (value.isascii() or _encodable(value)):
        value = _value(path, number, record, field)
        raise UserError(f"{path}:{number}: {field}: expected an id, got {value!r:.60}")
    return value


def _encodable(value: str) -> bool:
    """Whether a text can be written as UTF-8; JSON escapes may hold half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def quantity(path: Path, number: int, record: Record, field: str) -> float:
    """A finite number."""
    value = record.get(field)
    # NaN and the infinities, which JSON as Python reads it admits, fail the comparison
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        value = _value(path, number, record, field)
        raise UserError(f"{path}:{number}: {field}: expected a number, got {value!r:.60}")
    return float(value)


def _value(path: Path, number: int, record: Record, field: str) -> object:
    if field not in record:
        raise UserError(f"{path}:{number}: has no field {field!r}; {nearest(field, map(str, record))}")
    return record[field]
