"""The figure of a study: each row's metric beside what a user costs, and the metric by depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lasar_kit.report.figures.canvas import style
from lasar_kit.report.verdict import METRIC

if TYPE_CHECKING:
    from lasar_kit.report.study import Study

INK = "#222222"
GREYS = {"spec": "#666666", "none": "#bbbbbb", "pause": "#999999", "noise": "#999999", "fixed": "#dddddd"}


def draw(study: Study, path: Path) -> None:
    """Write an SVG, in the style of a report and the same each time; matplotlib must be there."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 0.9 + 0.32 * max(len(study.rows), 6)))
        if study.by_depth:
            left, right = figure.subplots(1, 2, width_ratios=(3, 2))
            _depths(study, right)
        else:
            left = figure.subplots()
        _rows(study, left)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _rows(study: Study, axes: Any) -> None:
    """A bar a row, with the deviation over seeds and the cost of a user at its end."""
    for place, (name, row) in enumerate(study.rows.items()):
        found = study.seeds(row, "ndcg@10")
        spread = found.std(ddof=1) if len(found) > 1 else None
        axes.barh(place, found.mean(), xerr=spread, color=GREYS[study.kinds[name]], edgecolor=INK, capsize=3)
        if name in study.cost:
            end = found.mean() + (spread or 0.0)
            axes.annotate(f" {study.cost[name]:.1f} ms", (end, place), va="center", fontsize=8)
    axes.set_yticks(range(len(study.rows)), list(study.rows))
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{METRIC} (bars: mean over seeds; time: of ranking for a user)")


def _depths(study: Study, axes: Any) -> None:
    """The model's metric at each depth that it is forced to, beside what it reaches at depths of its own."""
    found = np.array([study.seeds(row, "ndcg@10") for row in study.by_depth.values()])
    depths = list(study.by_depth)
    spread = found.std(1, ddof=1) if found.shape[1] > 1 else None
    axes.errorbar(depths, found.mean(1), yerr=spread, color=INK, marker="o", capsize=3, label="forced")
    own = next(iter(study.rows.values()))
    mean, depth = study.seeds(own, "ndcg@10").mean(), own.depth.mean()
    axes.plot(
        [depth],
        [mean],
        marker="D",
        color=INK,
        markerfacecolor="white",
        linestyle="",
        label="depths of its own",
    )
    axes.set_xticks(depths)
    axes.set_xlabel("thoughts N")
    axes.set_ylabel(METRIC)
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
