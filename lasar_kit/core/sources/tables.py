"""Interactions and items from tables with named columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.sources import text_files
from lasar_kit.core.sources.interactions import InteractionLog, histories
from lasar_kit.core.sources.items import TEXT_FIELDS, ItemText, dataset
from lasar_kit.core.sources.options import TableOptions
from lasar_kit.errors import UserError, nearest

Row = tuple[int, Sequence[str]]
"""Where a row stands (its line in a text file, its number in a binary one) and its cells."""


@dataclass(frozen=True)
class Table:
    """A table on disk: `rows(columns)` reads it once, giving the cells of those columns."""

    path: Path
    columns: Sequence[str]
    rows: Callable[[Sequence[int]], Iterator[Row]]
    binary: bool = False

    def place(self, number: int) -> str:
        """A row, as errors name it."""
        return f"{self.path}: row {number}" if self.binary else f"{self.path}:{number}"

    def column(self, option: str, name: str) -> int:
        """The position of a column that the option `option` names."""
        if name not in self.columns:
            hint = nearest(name, self.columns)
            place = self.path if self.binary else self.place(1)
            raise UserError(f"{place}: has no column {name!r} (option {option!r}); {hint}")
        return self.columns.index(name)


def delimited(path: Path, delimiter: str, quoted: bool = True) -> Table:
    """A text table whose first line names the columns; `quoted` cells may hold delimiters and line ends."""
    header = next(_cells(path, delimiter, quoted))[1]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path}:1: names the column {twice[0]!r} twice")

    def rows(columns: Sequence[int]) -> Iterator[Row]:
        lines = _cells(path, delimiter, quoted)
        next(lines)
        for number, cells in lines:
            if len(cells) != len(header):
                raise UserError(
                    f"{path}:{number}: has {len(cells)} cells, expected {len(header)} as in line 1"
                )
            yield number, [cells[column] for column in columns]

    return Table(path, header, rows)


def _cells(path: Path, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line that is not blank, with the line's number; a quoted row counts as its last."""
    text = (line for _, line in text_files.lines(path))
    if quoted:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    blank = True
    try:
        for cells in reader:
            if cells:
                blank = False
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: is not a table of this kind: {error}") from None
    if blank:
        raise UserError(f"{path}: holds no line but blank ones")


def seconds(text: str) -> float:
    """A time as a number: numbers as they are, ISO 8601 as seconds since 1970, UTC where no zone is given.

    >>> seconds("5e3"), seconds("1970-01-02")
    (5000.0, 86400.0)
    """
    try:
        value = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def read_interactions(table: Table, options: TableOptions) -> InteractionLog:
    """All interactions of a table, in its order."""
    named = {"user": options.user, "item": options.item} | ({"time": options.time} if options.time else {})
    columns = [table.column(option, name) for option, name in named.items()]
    log = InteractionLog()
    number = 0
    for number, (user, item, *time) in table.rows(columns):
        if not user or not item:
            missing = options.item if user else options.user
            raise UserError(f"{table.place(number)}: the cell of column {missing!r} is empty, expected an id")
        try:
            log.add(user, item, seconds(time[0]) if time else float(number))
        except ValueError:
            raise UserError(
                f"{table.place(number)}: column {options.time!r}: expected a time, a number or ISO 8601, "
                f"got {time[0]!r}"
            ) from None
    if number == 0:
        raise UserError(f"{table.path}: holds no interactions, only the names of its columns")
    return log


def text_columns(table: Table, options: TableOptions) -> dict[str, int]:
    """Where the fields of item text stand: in the column an option names, or one of the field's own name."""
    columns = {}
    for field in TEXT_FIELDS:
        name = getattr(options, field)
        if name is not None or field in table.columns:
            columns[field] = table.column(field, name if name is not None else field)
    return columns


def read_items(
    table: Table, options: TableOptions, wanted: Container[str], categories: Callable[[str], str] = str
) -> dict[str, ItemText]:
    """Text of the `wanted` items; `categories` rewrites that column."""
    columns = text_columns(table, options)
    text: dict[str, ItemText] = {}
    lines: dict[str, int] = {}
    for number, (item, *cells) in table.rows([table.column("item", options.item), *columns.values()]):
        if not item:
            raise UserError(
                f"{table.place(number)}: the cell of column {options.item!r} is empty, expected an id"
            )
        if item in lines:
            raise UserError(
                f"{table.place(number)}: the item {item!r} stands already at {table.place(lines[item])}"
            )
        lines[item] = number
        if item in wanted:
            row = dict(zip(columns, (" ".join(cell.split()) for cell in cells), strict=True))
            text[item] = ItemText(**row)._replace(categories=categories(row.get("categories", "")))
    return text


def load(
    interactions: Table,
    items: Table | None,
    options: TableOptions,
    categories: Callable[[str], str] = str,
) -> Dataset:
    """A data set of an interaction table and, if there is one, an item table."""
    kept = histories(read_interactions(interactions, options).interactions(), options, str(interactions.path))
    if items is None:
        return dataset(kept, {})
    text = read_items(items, options, set(kept.items), categories)
    missing = [item for item in kept.items if item not in text]
    if missing and options.missing_items == "error":
        raise UserError(
            f"{items.path}: lacks {len(missing)} of the {len(kept.items)} items of {interactions.path}, "
            f"such as {missing[0]!r}; 'missing_items: empty' gives them empty text"
        )
    return dataset(kept, text)
