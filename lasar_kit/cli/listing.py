"""The catalogue as text: all components."""

from __future__ import annotations

import io
import json

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lasar_kit.catalogue import Catalogue
from lasar_kit.kinds import KINDS

_SHOWN = ("kind", "name", "summary", "origin", "paper", "config", "build")


def as_json(catalogue: Catalogue, kind: str | None = None) -> str:
    """Every entry, or every one of a kind, as a JSON object."""
    rows = [{key: getattr(entry, key) for key in _SHOWN} for entry in catalogue.entries(kind)]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def render(*parts: RenderableType) -> str:
    """Text as wide as the terminal, or as it takes when written to a file."""
    width = None if Console().is_terminal else 200
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(Group(*parts))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def as_text(catalogue: Catalogue, only: str | None = None) -> str:
    """Tables of name, summary and origin, one a kind that has any, or that of one kind."""
    tables: list[RenderableType] = []
    for kind in KINDS if only is None else (only,):
        if entries := catalogue.entries(kind):
            found = table(kind, "name", "summary", "origin")
            for entry in entries:
                found.add_row(Text(entry.name), Text(entry.summary), Text(entry.origin))
            tables += [found, Text()]
    return render(*tables)
