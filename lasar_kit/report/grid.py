"""Tables before they are printed: what stands in them, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A number, and the interval that it is known by where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Told:
    """A number that is read as `text`: a change with its sign, a share in per cent."""

    value: float
    text: str


Cell = str | int | float | Measured | Told | None
"""None is an empty cell."""


@dataclass(frozen=True)
class Column:
    """A name, how many `digits` of its numbers are shown behind the point, whether the largest of them is the
    `best`, and whether it holds `words`."""

    name: str
    digits: int = 4
    best: bool = False
    words: bool = False


@dataclass(frozen=True)
class Row:
    """Cells from left to right; those of a `model` are what a table is about. An `aside` tells more of the
    row above it. Rows of a `group`, such as a data set, stand under its name and are ranked apart."""

    cells: tuple[Cell, ...]
    model: bool = False
    aside: bool = False
    group: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: the first column says what a row is of, `notes` stand below."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, title: str, columns: Sequence[Column | str], rows: Sequence[Sequence[Cell]], *notes: str
    ) -> Grid:
        """From plain names and cells."""
        named = tuple(Column(column) if isinstance(column, str) else column for column in columns)
        return cls(title, named, tuple(Row(tuple(row)) for row in rows), notes)

    def places(self, column: int) -> dict[int, int]:
        """Which rows hold the best value of a column (0) and the second best (1), ties together; none of
        columns where nothing is best, or that hold one value."""
        if not self.columns[column].best:
            return {}
        found: dict[int, int] = {}
        for group in dict.fromkeys(row.group for row in self.rows):
            values = {
                place: round(value, self.columns[column].digits)
                for place, row in enumerate(self.rows)
                if row.group == group and not row.aside and (value := number(row.cells[column])) is not None
            }
            ranked = sorted(set(values.values()), reverse=True)[:2]
            if len(ranked) == 2:
                found |= {place: ranked.index(value) for place, value in values.items() if value in ranked}
        return found


def number(cell: Cell) -> float | None:
    """The number in a cell; None where it holds none."""
    if isinstance(cell, Measured | Told):
        return cell.value
    return None if isinstance(cell, str) or cell is None else float(cell)


def shown(cell: Cell, column: Column) -> str:
    """A cell as people read it.

    >>> [shown(cell, Column("x", 2)) for cell in (None, "a", 1200, 0.125, Measured(0.5, 0.4, 0.6))]
    ['', 'a', '1,200', '0.12', '0.50']
    """
    if isinstance(cell, Told):
        return cell.text
    if isinstance(cell, Measured):
        cell = cell.value
    if isinstance(cell, float):
        return f"{cell:.{column.digits}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell or ""
