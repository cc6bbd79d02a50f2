"""Writes the page: one HTML file, and beside it a folder with each figure as SVG, PDF and CSV."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from lasar_kit.errors import UserError
from lasar_kit.report.compare import Finished, comparisons
from lasar_kit.report.figures.canvas import Drawn, require
from lasar_kit.report.grid import Cell, Grid, Measured, shown
from lasar_kit.report.html.material import Material
from lasar_kit.report.html.sections import Section, sections
from lasar_kit.report.html.thoughts import Explain
from lasar_kit.store.artifacts import write_text
from lasar_kit.store.run_folder import reading_run

USERS = 3
"""Users whose thoughts are shown."""


def write_page(runs: Sequence[Path], file: Path, explain: Explain | None = None, users: int = USERS) -> None:
    """Write a page about finished runs to `file`, and its figures to a folder beside it; `explain` reads the
    thoughts about so many `users` of each run, where its model thinks.

    `UserError` where matplotlib is missing, a folder is not that of a finished run, or the file cannot be
    written; the page comes last, whole.
    """
    require()
    _check(file)
    folder = file.with_name(f"{file.stem}_figures")
    read = [Material.read(run) for run in runs]
    names = _names(read)
    try:
        told = [
            _run(material, name, folder, explain, users) for material, name in zip(read, names, strict=True)
        ]
        write_text(file, _rendered(told, _beside(runs), ", ".join(names)))
    except OSError as error:
        raise UserError(f"--html {file}: {error.strerror or error}") from None


def _check(file: Path) -> None:
    """`UserError` where no file can be."""
    if file.is_dir():
        raise UserError(f"--html {file}: is a folder; name a file in it")
    if not file.absolute().parent.is_dir():
        raise UserError(f"--html {file}: there is no folder {file.parent}")


def _names(runs: Sequence[Material]) -> list[str]:
    """Of the folders, numbered where two are alike."""
    plain = [run.path.resolve().name for run in runs]
    return [
        name if plain.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(plain, start=1)
    ]


def _beside(runs: Sequence[Path]) -> Section | None:
    """The tables of `compare`, or why there are none; nothing of one run alone."""
    if len(runs) < 2:
        return None
    title = "Runs beside each other"
    try:
        return Section(title, (), tuple(comparisons([Finished.read(run) for run in runs], None)))
    except UserError as error:
        return Section(title, error.lines)


def _run(material: Material, name: str, folder: Path, explain: Explain | None, users: int) -> dict[str, Any]:
    """A run as the template takes it, its figures on disk."""
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    with reading_run(material.path):
        parts = list(sections(material, explain, users))
    number = 0
    told = []
    for place, part in enumerate(parts):
        figures = []
        for drawn in part.figures:
            number += 1
            figures.append(_figure(drawn, own, number))
        told.append({"part": part, "id": f"{name}-{place}", "figures": figures})
    return {"name": name, "sections": told}


def _figure(drawn: Drawn, folder: Path, number: int) -> dict[str, Any]:
    svg = drawn.save(folder)
    place = quote(f"{folder.parent.name}/{folder.name}/{drawn.name}")
    return {
        "number": number,
        "caption": drawn.caption,
        "source": "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode(),
        "files": {kind: f"{place}.{kind.lower()}" for kind in ("SVG", "PDF", "CSV")},
        "width": round(drawn.figure.get_figwidth() * 96),
    }


def _rendered(runs: Sequence[dict[str, Any]], beside: Section | None, title: str) -> str:
    environment = Environment(
        loader=PackageLoader("lasar_kit.report.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cells": _cells}
    return environment.get_template("page.html.j2").render(
        runs=runs, beside=beside, title=title, version=version("lasar-kit")
    )


def _cells(grid: Grid) -> list[dict[str, Any]]:
    """Rows of a table: each cell's text, its interval, and whether it is the best or second of its column."""
    ranked = [grid.places(place) for place in range(len(grid.columns))]
    marks = {0: "best", 1: "second"}
    return [
        {
            "model": row.model,
            "aside": row.aside,
            "cells": [
                {
                    "text": shown(cell, column),
                    "interval": _interval(cell, column.digits),
                    "words": column.words,
                    "mark": marks.get(best.get(number, -1), ""),
                }
                for cell, column, best in zip(row.cells, grid.columns, ranked, strict=True)
            ],
        }
        for number, row in enumerate(grid.rows)
    ]


def _interval(cell: Cell, digits: int) -> str:
    if not isinstance(cell, Measured) or cell.low is None or cell.high is None:
        return ""
    return f"{cell.low:.{digits}f} – {cell.high:.{digits}f}"
