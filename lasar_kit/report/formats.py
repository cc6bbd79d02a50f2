"""Tables as text for a terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal

from rich import box
from rich.markup import escape
from rich.table import Table

from lasar_kit.process.screen import Screen
from lasar_kit.report.grid import Cell, Column, Grid, Measured, Row, Told, shown

Format = Literal["text", "markdown", "latex", "csv"]

_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "–": "--",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "✓": r"\checkmark{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "…": r"\dots{}",
}


def show(grids: Sequence[Grid], format: Format) -> None:
    """Print tables; what is not text goes out as it is, for files and pipes."""
    if format == "text":
        for grid in grids:
            Screen().print(as_rich(grid))
        return
    text = {"markdown": markdown, "latex": latex, "csv": as_csv}[format](grids)
    Screen().console.out(text, end="")


def as_rich(grid: Grid) -> Table:
    """A table for a terminal."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=escape(grid.title) or None,
        title_justify="left",
        caption="\n".join(map(escape, grid.notes)) or None,
        caption_justify="left",
    )
    for place, column in enumerate(grid.columns):
        table.add_column(column.name, justify="right" if place else "left", no_wrap=True)
    for row, begins in _grouped(grid):
        if begins:
            table.add_section()
            table.add_row(f"[italic]{escape(row.group)}")
        first, *cells = (
            escape(shown(cell, column)) for cell, column in zip(row.cells, grid.columns, strict=True)
        )
        named = f"[bold]{first}" if row.model else f"  {first}" if row.aside else first
        table.add_row(named, *cells, style="dim" if row.aside else None)
    return table


def _grouped(grid: Grid) -> Iterator[tuple[Row, bool]]:
    """Rows, each with whether a group of a name begins with it."""
    group = ""
    for row in grid.rows:
        yield row, row.group not in ("", group)
        group = row.group


def markdown(grids: Sequence[Grid]) -> str:
    """Tables as GitHub reads them, the best of a column in bold."""
    return "\n".join("\n".join(_markdown(grid)) + "\n" for grid in grids)


def _markdown(grid: Grid) -> Iterator[str]:
    if grid.title:
        yield f"**{_plain(grid.title)}**\n"
    yield "| " + " | ".join(_plain(column.name) for column in grid.columns) + " |"
    yield "|" + "|".join("---:" if place else "---" for place in range(len(grid.columns))) + "|"
    rows = _marked(grid, _plain, ("**{}**", "{}"))
    for (row, begins), cells in zip(_grouped(grid), rows, strict=True):
        if begins:
            yield f"| *{_plain(row.group)}* |" + " |" * (len(grid.columns) - 1)
        yield "| " + " | ".join(cells) + " |"
    for note in grid.notes:
        yield f"\n{_plain(note)}"


def _plain(text: str) -> str:
    """Text that is no markup of Markdown's, nor HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", text).replace("\n", " ")


def latex(grids: Sequence[Grid]) -> str:
    r"""Tables for `\usepackage{booktabs}`, the best of a column in bold, the second underlined."""
    return "\n".join("\n".join(_latex(grid)) + "\n" for grid in grids)


def _latex(grid: Grid) -> Iterator[str]:
    yield r"\begin{table}[t]"
    yield r"  \centering"
    if grid.title:
        yield f"  \\caption{{{_escaped('. '.join((grid.title, *grid.notes)))}}}"
    yield f"  \\begin{{tabular}}{{l{'r' * (len(grid.columns) - 1)}}}"
    yield r"    \toprule"
    yield f"    {' & '.join(_escaped(column.name) for column in grid.columns)} \\\\"
    yield r"    \midrule"
    rows = _marked(grid, _escaped, (r"\textbf{{{}}}", r"\underline{{{}}}"))
    for (row, begins), cells in zip(_grouped(grid), rows, strict=True):
        if begins:
            if row is not grid.rows[0]:
                yield r"    \midrule"
            yield f"    \\multicolumn{{{len(grid.columns)}}}{{l}}{{\\textit{{{_escaped(row.group)}}}}} \\\\"
        yield f"    {' & '.join(cells)} \\\\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"\end{table}"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text.replace("\n", " "))


def _marked(grid: Grid, escaped: Callable[[str], str], marks: tuple[str, str]) -> Iterator[list[str]]:
    """Rows of escaped cells, the best and the second best of a column marked."""
    ranked = [grid.places(place) for place in range(len(grid.columns))]
    for number, row in enumerate(grid.rows):
        cells = [escaped(shown(cell, column)) for cell, column in zip(row.cells, grid.columns, strict=True)]
        yield [
            marks[marked[number]].format(cell) if cell and number in marked else cell
            for cell, marked in zip(cells, ranked, strict=True)
        ]


def as_csv(grids: Sequence[Grid]) -> str:
    """Tables for other programs: numbers in full, an interval in columns of its own, behind each row's
    title; an aside says under `line` what it tells of its row. Tables of like columns are one, others follow
    behind an empty line."""
    parts = []
    for header, like in groupby(grids, key=_header):
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["table", *header])
        for grid in like:
            writer.writerows(_records(grid))
        parts.append(file.getvalue())
    return "\n".join(parts)


def _records(grid: Grid) -> Iterator[list[Cell]]:
    wide = [_wide(grid, place) for place in range(len(grid.columns))]
    named: Cell = ""
    for row in grid.rows:
        first, *cells = row.cells
        named, line = (named, [first]) if row.aside else (first, [""])
        parts = [part for cell, one in zip(cells, wide[1:], strict=True) for part in _parts(cell, one)]
        group = [row.group] if _groups(grid) else []
        yield [grid.title, *group, *_parts(named, wide[0]), *(line if _asides(grid) else []), *parts]


def _asides(grid: Grid) -> bool:
    return any(row.aside for row in grid.rows)


def _groups(grid: Grid) -> bool:
    return any(row.group for row in grid.rows)


def _header(grid: Grid) -> list[str]:
    wide = [_wide(grid, place) for place in range(len(grid.columns))]
    first, *names = (_names(column, one) for column, one in zip(grid.columns, wide, strict=True))
    group = ["group"] if _groups(grid) else []
    return [*group, *first, *(["line"] if _asides(grid) else []), *(name for part in names for name in part)]


def _names(column: Column, wide: bool) -> list[str]:
    return [column.name, *((f"{column.name} low", f"{column.name} high") if wide else ())]


def _wide(grid: Grid, place: int) -> bool:
    """Whether a column holds intervals."""
    cells = (row.cells[place] for row in grid.rows)
    return any(isinstance(cell, Measured) and cell.low is not None for cell in cells)


def _parts(cell: Cell, wide: bool) -> list[Cell]:
    if isinstance(cell, Measured):
        return [cell.value, cell.low, cell.high] if wide else [cell.value]
    if isinstance(cell, Told):
        cell = cell.value
    return [cell, None, None] if wide else [cell]
