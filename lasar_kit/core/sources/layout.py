"""Tables of text: their cells, and what is said where the first line does not name the columns in use."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from lasar_kit.core.sources import text_files
from lasar_kit.core.sources.times import is_time
from lasar_kit.errors import UserError, nearest

Row = tuple[int, Sequence[str]]
"""Where a row stands (its line in a text file, its number in a binary one) and its cells."""

_SEPARATORS = ("\t", ";", ",", "|", "::", " ")
"""Those that a file may have instead of the one that was named, likely ones first."""


@dataclass(frozen=True)
class Layout:
    """How a text table is written.

    `columns` names its columns where its first line does not. `separator_option` and `columns_option` are
    what a spec calls these two; `quoted` cells may hold separators and line ends.
    """

    separator: str
    quoted: bool = True
    encoding: str = "utf-8"
    columns: Sequence[str] | None = None
    separator_option: str = "separator"
    columns_option: str = ""


@dataclass(frozen=True)
class Table:
    """A table on disk: `rows(columns)` reads it once, giving the cells of those columns.

    `doubt` is what may be the matter with a text table that lacks a column; `columns_option` the one that
    names the columns of a table without a header, if there is one.
    """

    path: Path
    columns: Sequence[str]
    rows: Callable[[Sequence[int]], Iterator[Row]]
    binary: bool = False
    doubt: str = ""
    columns_option: str = ""

    def place(self, number: int) -> str:
        """A row, as errors name it."""
        return f"{self.path}: row {number}" if self.binary else f"{self.path}:{number}"

    def column(self, option: str, name: str, taken: Collection[int] = ()) -> int:
        """The position of a column that the option `option` names; those `taken` are hardly meant by it."""
        if name not in self.columns:
            hint = nearest(name, (one for place, one in enumerate(self.columns) if place not in taken))
            place = self.path if self.binary else self.place(1)
            if self.doubt and not hint.startswith("did"):
                raise UserError(f"{place}: {self.doubt}")
            if self.columns_option and not hint.startswith("did"):
                hint += f"; {self.columns_option!r} names the columns of a file without a header"
            raise UserError(f"{place}: has no column {name!r} (option {option!r}); {hint}")
        return self.columns.index(name)


def delimited(path: Path, layout: Layout) -> Table:
    """A text table whose first line names the columns, or whose layout does."""
    first_line, first = next(_cells(path, layout))
    header = list(layout.columns or first)
    if layout.columns is not None:
        _check_columns(path, first_line, first, header, layout)
        doubt = ""
    else:
        doubt = _doubt(path, first, layout)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path}:1: {doubt or f'names the column {twice[0]!r} twice'}")
    as_in = "line 1" if layout.columns is None else repr(layout.columns_option)

    def rows(columns: Sequence[int]) -> Iterator[Row]:
        lines = _cells(path, layout)
        if layout.columns is None:
            next(lines)
        one = len(columns) == 1  # of which `itemgetter` gives the cell alone
        of_columns = itemgetter(slice(columns[0], columns[0] + 1)) if one else itemgetter(*columns)
        for number, cells in lines:
            if len(cells) != len(header):
                raise UserError(
                    f"{path}:{number}: has {len(cells)} cells, expected {len(header)} as in {as_in}"
                )
            yield number, of_columns(cells)

    return Table(path, header, rows, doubt=doubt, columns_option=layout.columns_option)


def _check_columns(path: Path, number: int, cells: list[str], columns: list[str], layout: Layout) -> None:
    """Refuse a first line that has not the columns which the layout names, or names them itself."""
    if len(cells) != len(columns):
        other = _other_separator(path, layout) if len(cells) == 1 else ""
        raise UserError(
            f"{path}:{number}: has {len(cells)} cells, expected {len(columns)} as in "
            f"{layout.columns_option!r}" + (f"; {other}" if other else "")
        )
    if cells == columns:
        raise UserError(f"{path}:{number}: names the columns itself; leave {layout.columns_option!r} out")


def _doubt(path: Path, header: list[str], layout: Layout) -> str:
    """Guess what is the matter with a header that lacks a column in use; empty where nothing seems to be."""
    doubts = []
    cells = header
    if header[:1] and header[0].lstrip("[ ").startswith("{"):
        return "holds JSON, which is not read here; write it as CSV or Parquet"
    if len(header) == 1 and (other := _other_separator(path, layout)):
        doubts.append(f"has one column only: {other}")
        cells = header[0].split(_best_separator(header[0], layout.separator))
    if any(is_time(cell.strip()) for cell in cells) and layout.columns_option:
        shown = ", ".join(cells[:4])[:60]
        doubts.append(
            f"looks like data ({shown}), but a header is expected; without one, name the columns in order: "
            f"'{layout.columns_option}: [user, item, …]'"
        )
    elif any(is_time(cell.strip()) for cell in cells):
        doubts.append(f"looks like data ({', '.join(cells[:4])[:60]}), but a header is expected")
    return "; it ".join(doubts)


def _best_separator(line: str, declared: str) -> str:
    return max((mark for mark in _SEPARATORS if mark != declared), key=line.count)


def _other_separator(path: Path, layout: Layout) -> str:
    """A question after the separator that would make cells of the first line; empty where none does."""
    line = next((text for _, text in text_files.lines(path, layout.encoding) if text.strip()), "").strip()
    best = _best_separator(line, layout.separator)
    if best not in line:
        return ""
    return f"is its separator {best!r}? (option {layout.separator_option!r}, now {layout.separator!r})"


def _cells(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """The cells of every line that is not blank, with the line's number; a quoted row counts as its last."""
    lines = text_files.lines(path, layout.encoding)
    split = _split(lines, layout.separator) if len(layout.separator) > 1 else _parsed(path, lines, layout)
    first = next(split, None)
    if first is None:
        raise UserError(f"{path}: holds no line but blank ones")
    yield first
    yield from split


def _split(lines: Iterator[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Cells between separators of more than one character, for which there are no quotes."""
    for number, line in lines:
        if line.strip():
            yield number, line.rstrip("\r\n").split(separator)


def _parsed(path: Path, lines: Iterator[tuple[int, str]], layout: Layout) -> Iterator[tuple[int, list[str]]]:
    text = map(itemgetter(1), lines)
    if layout.quoted:
        reader = csv.reader(text, delimiter=layout.separator, strict=True)
    else:
        reader = csv.reader(text, delimiter=layout.separator, quoting=csv.QUOTE_NONE)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        why = "a quote is not closed" if str(error) == "unexpected end of data" else error
        raise UserError(f"{path}:{reader.line_num}: is not a table of this kind: {why}") from None
