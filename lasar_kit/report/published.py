"""Published figures on known data sets, each number with its source (`published.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT
from lasar_kit.report.grid import Column, Grid, Row
from lasar_kit.report.table import SHOWN, TITLES

FILE = Path(__file__).with_name("published.toml")
_LISTS = {
    HISTORY_IN: TITLES[HISTORY_IN],
    HISTORY_OUT: TITLES[HISTORY_OUT],
    "untold": "whether histories stood in the lists is not told",
}


def published(users: int, items: int) -> list[Grid]:
    """Tables of what is known of the data set of so many users and items, one for each protocol; none where
    it is not known."""
    known = tomllib.loads(FILE.read_text(encoding="utf-8"))["data"]
    return [
        _grid(data, lists)
        for data in known
        if (data["users"], data["items"]) == (users, items)
        for lists in _LISTS
        if any(figure["lists"] == lists for figure in data["figures"])
    ]


def _grid(data: Mapping[str, Any], lists: str) -> Grid:
    columns = (
        Column("published"),
        Column("size"),
        *(Column(name.upper()) for name in SHOWN),
        Column("source"),
    )
    rows = tuple(
        Row((figure["model"], figure.get("size"), *(figure.get(name) for name in SHOWN), figure["source"]))
        for figure in data["figures"]
        if figure["lists"] == lists
    )
    return Grid(f"Published on {data['name']}: {_LISTS[lists]}", columns, rows)
