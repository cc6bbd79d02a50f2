"""Metrics drawn: models beside each other with their intervals, and over groups of users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lasar_kit.report.figures.canvas import Drawn, canvas, ink, legend, named
from lasar_kit.report.grid import Grid, Measured, Row


def beside(name: str, caption: str, grid: Grid, metrics: Sequence[str]) -> Drawn:
    """A row a model, best on top, its metrics as points on one axis with their intervals."""
    columns = {column.name: place for place, column in enumerate(grid.columns)}
    shown = [metric for metric in metrics if metric in columns]
    rows = [row for row in grid.rows if isinstance(row.cells[columns[shown[0]]], Measured)]
    rows.sort(key=lambda row: _value(row, columns[shown[0]]))
    with canvas(5.6, 1.2 + 0.3 * len(rows)) as (figure, axes):
        for place, metric in enumerate(shown):
            cells = [row.cells[columns[metric]] for row in rows]
            points = [(at, cell) for at, cell in enumerate(cells) if isinstance(cell, Measured)]
            look = ink(place) | {"linestyle": "none", "capsize": 2.5, "linewidth": 1.2}
            height = np.array([at for at, _ in points]) + (0.5 - place) * 0.24
            values = [cell.value for _, cell in points]
            axes.errorbar(values, height, xerr=_arms([cell for _, cell in points]), label=metric, **look)
        axes.set_yticks(range(len(rows)), [str(row.cells[0]) for row in rows])
        for text, row in zip(axes.get_yticklabels(), rows, strict=True):
            text.set_fontweight("bold" if row.model else "normal")
        axes.set_xlabel(f"{' and '.join(shown)} (mean over users, bars: 95 %)")
        axes.set_xlim(left=0)
        legend(axes)
    return Drawn(name, caption, figure, grid)


def over_groups(name: str, caption: str, axis: str, metric: str, grid: Grid) -> Drawn:
    """A line a model over the groups of a table of `groups.grouped`, with intervals."""
    labels = [column.name for column in grid.columns[1:]]
    counts = dict(zip(labels, grid.rows[0].cells[1:], strict=True))
    rows = grid.rows[1:]
    with canvas(5.6, 3.4) as (figure, axes):
        for place, row in enumerate(sorted(rows, key=lambda row: not row.model)):
            points = [(at, cell) for at, cell in enumerate(row.cells[1:]) if isinstance(cell, Measured)]
            shift = (place - (len(rows) - 1) / 2) * 0.06  # else bars stand in each other's place
            axes.errorbar(
                np.array([at for at, _ in points]) + shift,
                [cell.value for _, cell in points],
                yerr=_arms([cell for _, cell in points]),
                label=named(str(row.cells[0])),
                capsize=2,
                elinewidth=0.8,
                **ink(place),
            )
        axes.set_xticks(range(len(labels)), [f"{label}\n{_users(counts[label])}" for label in labels])
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axis)
        axes.set_ylabel(f"{metric} (bars: 95 %)")
        legend(axes, 3)
    return Drawn(name, caption, figure, grid)


def _users(count: object) -> str:
    return f"{count:,} users" if count != 1 else "1 user"


def _value(row: Row, column: int) -> float:
    cell = row.cells[column]
    assert isinstance(cell, Measured)
    return cell.value


def _arms(cells: Sequence[Measured]) -> np.ndarray:
    """How far intervals reach to both sides, nothing where there is none."""
    low = [cell.value - cell.low if cell.low is not None else 0.0 for cell in cells]
    high = [cell.high - cell.value if cell.high is not None else 0.0 for cell in cells]
    arms: np.ndarray = np.maximum(np.array([low, high]), 0)
    return arms
