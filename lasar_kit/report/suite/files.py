"""Writes the tables and figures of a suite, each table in every format."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from lasar_kit.process.screen import Screen
from lasar_kit.report.formats import Format, as_csv, as_rich, latex, markdown
from lasar_kit.report.grid import Grid
from lasar_kit.report.suite import tables
from lasar_kit.report.suite.ran import Ran
from lasar_kit.report.suite.segments import segments
from lasar_kit.spec.suite import At
from lasar_kit.spec.suite_shows import SegmentsOf, Show, TableOf, TimesOf
from lasar_kit.store.artifacts import write_json, write_text

WIDTH = 200
"""Letters of a line of a table of text, at most."""


def write(ran: Ran, folder: Path) -> tuple[Callable[[Format], list[Grid]], list[str]]:
    """Write all that a suite shows: tables as text, Markdown, LaTeX and CSV, figures as PNG, SVG, PDF and CSV
    (where matplotlib is installed), and its numbers by seed as JSON.

    Returns the tables, by the format that they are for, and the names of the files.
    """
    made = [(show, _name(ran, number)) for number, show in enumerate(ran.suite.show)]
    told = {
        name: _grids(ran, show) for show, name in made if isinstance(show, TableOf | TimesOf | SegmentsOf)
    }
    files = []
    for name, (short, full) in told.items():
        texts = {"txt": as_text(short), "md": markdown(short), "tex": latex(short), "csv": as_csv(full)}
        for ending, text in texts.items():
            write_text(folder / f"{name}.{ending}", text)
        files.append(name)
    files += [name for show, name in made if name not in told and _draw(ran, show, name, folder)]
    if len(files) < len(made):
        Screen().print("figures need the package matplotlib; try: pip install 'lasar-kit\\[figures]'")
    write_json(folder / f"{ran.suite.name}.json", numbers(ran))
    return partial(_all, told), [*files, f"{ran.suite.name}.json"]


def _all(told: dict[str, tuple[list[Grid], list[Grid]]], format: Format) -> list[Grid]:
    return [grid for short, full in told.values() for grid in (full if format == "csv" else short)]


def _name(ran: Ran, number: int) -> str:
    """Of the files of a show: its own, or that of the suite, with a letter where there are several."""
    letter = string.ascii_lowercase[number] if len(ran.suite.show) > 1 else ""
    return ran.suite.show[number].name or ran.suite.name + letter


def _grids(ran: Ran, show: TableOf | TimesOf | SegmentsOf) -> tuple[list[Grid], list[Grid]]:
    """Tables for readers, and for programs."""
    if isinstance(show, TableOf):
        return tables.metrics(ran, show, full=False), tables.metrics(ran, show, full=True)
    grids = [tables.times(ran, show) if isinstance(show, TimesOf) else segments(ran, show)]
    return grids, grids


def as_text(grids: Sequence[Grid]) -> str:
    """Tables as a terminal of `WIDTH` letters shows them."""
    console = Console(width=WIDTH, highlight=False, emoji=False, color_system=None, file=None)
    with console.capture() as captured:
        for grid in grids:
            console.print(as_rich(grid))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _draw(ran: Ran, show: Show, name: str, folder: Path) -> bool:
    """Draw a figure for each data set; whether there is matplotlib to draw it."""
    if find_spec("matplotlib") is None:
        return False
    from lasar_kit.report.suite import figures

    draw: Any = getattr(figures, show.use)
    for data in ran.data:
        behind = re.sub(r"[^a-z0-9.]+", "-", f"-{data.lower()}") if len(ran.data) > 1 else ""
        draw(ran, show, name + behind, data).save(folder, png=True)
    return True


def numbers(ran: Ran) -> dict[str, Any]:
    """Metrics of every place that was evaluated, by protocol and seed, as JSON."""
    return {"title": ran.suite.title, "rows": list(_numbers(ran))}


def _numbers(ran: Ran) -> Iterator[dict[str, Any]]:
    for at in ran.runs:
        place = {"row": at.row, "column": at.column, "data": at.data}
        runs = [path.name for path in ran.runs[at]]
        values = _evaluated(ran, at)
        yield {**place, "runs": runs, **values}


def _evaluated(ran: Ran, at: At) -> dict[str, Any]:
    if any(isinstance(show, SegmentsOf) for show in ran.suite.show):
        return {}
    told = ran.evaluated(at)
    metrics = {
        protocol: {name: values.mean(1).tolist() for name, values in held.items()}
        for protocol, held in told.values.items()
    }
    depth = [None if value != value else value for value in told.depth.tolist()]
    return {**metrics, "depth": depth}
