"""Depths, semantic IDs and cost, as bars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lasar_kit.process.screen import duration
from lasar_kit.report.answers import Answers
from lasar_kit.report.figures.canvas import Drawn, canvas, fill, legend, named
from lasar_kit.report.figures.curves import Log
from lasar_kit.report.grid import Column, Grid

_DEPTH = re.compile(r"depth_(\d+)")


def depths(answers: Sequence[Answers]) -> Drawn:
    """Share of users by the number of thoughts they got, models that think beside each other."""
    depth = np.arange(max(int(one.depth.max()) for one in answers) + 1)
    shares = {one.label: np.bincount(one.depth, minlength=len(depth)) / len(one.depth) for one in answers}
    return _beside(
        "depths",
        "Thoughts that users got in each evaluation",
        depth[_from(shares) :],
        shares,
        "share of users",
    )


def drawn_depths(stage: str, log: Log) -> Drawn | None:
    """Share of prompts by the depth that was drawn, in the first and in the last tenth of the updates that a
    stage logged; None where it logged no depths."""
    updates = [
        {int(match[1]): value for key, value in values.items() if (match := _DEPTH.fullmatch(key))}
        for _, values in log
    ]
    updates = [shares for shares in updates if shares]
    if not updates:
        return None
    depth = np.arange(max(max(shares) for shares in updates) + 1)
    table = np.array([[shares.get(n, 0.0) for n in depth.tolist()] for shares in updates])
    part = max(1, len(table) // 10)
    name = "update" if part == 1 else f"{part} updates"
    shares = {f"first {name}": table[:part].mean(0), f"last {name}": table[-part:].mean(0)}
    caption = f"Depths drawn in “{stage}”, before and after"
    return _beside(f"{stage}-depths", caption, depth[_from(shares) :], shares, "share of prompts")


def _from(shares: Mapping[str, np.ndarray]) -> int:
    """Depth 0 is shown where anybody got it."""
    return 0 if any(share[0] for share in shares.values()) else 1


def _beside(name: str, caption: str, depth: np.ndarray, shares: Mapping[str, np.ndarray], axis: str) -> Drawn:
    with canvas(5.6, 3.0) as (figure, axes):
        width = 0.8 / len(shares)
        for place, (label, share) in enumerate(shares.items()):
            shift = (place - (len(shares) - 1) / 2) * width
            axes.bar(depth + shift, share[depth], width, label=named(label), **fill(place))
        axes.set_xticks(depth)
        axes.set_xlabel("thoughts N")
        axes.set_ylabel(axis)
        axes.grid(axis="x", visible=False)
        legend(axes)
    rows = [(int(n), *(float(share[n]) for share in shares.values())) for n in depth]
    return Drawn(name, caption, figure, Grid.of(caption, ["thoughts", *shares], rows))


def sids(stage: str, grid: Grid) -> Drawn:
    """How much of each level's codes is used, and how evenly: perplexity over the number of codes."""
    levels = [str(row.cells[0]) for row in grid.rows]
    named = {column.name: place for place, column in enumerate(grid.columns)}
    used = [_number(row.cells[named["used"]]) for row in grid.rows]
    even = [_number(row.cells[named["perplexity"]]) / _number(row.cells[named["codes"]]) for row in grid.rows]
    with canvas(4.6, 2.8) as (figure, axes):
        for place, (label, values) in enumerate({"used": used, "perplexity / codes": even}.items()):
            axes.bar(np.arange(len(levels)) + (place - 0.5) * 0.38, values, 0.38, label=label, **fill(place))
        axes.set_xticks(range(len(levels)), levels)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("level of the SID")
        axes.set_ylabel("share of the level's codes")
        axes.grid(axis="x", visible=False)
        legend(axes)
    return Drawn(f"{stage}-codes", "Use of codes: 1 is every code, and every code as often", figure, grid)


def cost(name: str, caption: str, stages: Mapping[str, float], axis: str, unit: str) -> Drawn:
    """A bar a stage, the first on top, with its value: `unit` is MiB, or seconds, which are told as times."""
    labels, values = list(stages), list(stages.values())
    with canvas(5.6, 0.9 + 0.28 * len(labels)) as (figure, axes):
        bars = axes.barh(range(len(labels)), values, **fill(1))
        axes.bar_label(bars, [_told(value, unit) for value in values], padding=3, fontsize=8)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.set_xlabel(axis)
        axes.grid(axis="y", visible=False)
    columns = [Column("stage"), Column(unit, 1)]
    return Drawn(name, caption, figure, Grid.of(caption, columns, list(stages.items())))


def _told(value: float, unit: str) -> str:
    return duration(value) if unit == "seconds" else f"{value:,.0f}"


def _number(cell: Any) -> float:
    return float(cell)
