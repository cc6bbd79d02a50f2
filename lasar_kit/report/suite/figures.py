"""Figures of a suite: curves of training, bars of rows, depths, and how RL went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill as fill_words
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lasar_kit.errors import UserError
from lasar_kit.report import groups
from lasar_kit.report.bootstrap import interval
from lasar_kit.report.figures import parts, results
from lasar_kit.report.figures.canvas import Drawn, canvas, fill, ink, legend, named, style
from lasar_kit.report.figures.curves import running_mean, thinned
from lasar_kit.report.grid import Grid
from lasar_kit.report.observers import read_log
from lasar_kit.report.suite.ran import Ran
from lasar_kit.report.table import TITLES
from lasar_kit.spec.suite import At
from lasar_kit.spec.suite_shows import BarsOf, ByDepthOf, CurvesOf, DepthsOf, DynamicsOf

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = tuple[Float[np.ndarray, " n"], Float[np.ndarray, "S n"]]
"""Where values were logged, in epochs, and the values by seed."""


def curves(ran: Ran, show: CurvesOf, name: str, data: str) -> Drawn:
    """A line a row, the mean over seeds with their range as a band; rows without the stage are left out."""
    lines = {row: _logged(ran.runs[_at(ran, row, data)], show.stage, show.key) for row in ran.rows(show)}
    shown = {row: points for row, points in lines.items() if points is not None}
    if not shown:
        raise UserError(f"no run logged {show.key} in a stage {show.stage}")
    with canvas(5.2, 3.2) as (figure, axes):
        for place, (row, (epochs, values)) in enumerate(shown.items()):
            axes.plot(epochs, values.mean(0), label=named(row), **ink(place))
            if len(values) > 1:
                axes.fill_between(epochs, values.min(0), values.max(0), color=ink(place)["color"], alpha=0.15)
        axes.set_xlabel(f"epochs of stage “{show.stage}”")
        axes.set_ylabel(show.axis or show.key)
        axes.margins(y=0.08)
        legend(axes, 1)
    rows = [
        (row, float(epoch), seed, float(value))
        for row, (epochs, values) in shown.items()
        for seed, by_seed in enumerate(values)
        for epoch, value in zip(epochs, by_seed, strict=True)
    ]
    caption = show.caption or f"{show.key} of stage {show.stage}"
    return Drawn(name, caption, figure, Grid.of(caption, ["row", "epoch", "seed", show.key], rows))


def bars(ran: Ran, show: BarsOf, name: str, data: str) -> Drawn:
    """A bar a row: the mean over seeds and their deviation, or of one seed the 95 % interval over users."""
    rows, protocol = ran.rows(show), ran.headline(data, ran.rows(show))
    found = []
    for row in rows:
        at = _at(ran, row, data)
        mean, arms = _spread(ran, at, protocol, show.metric)
        found.append((row, mean, mean - arms[0], mean + arms[1], ran.printed(at, show.metric)))
    heights = np.array([one[1] for one in found])
    ends = np.array([[one[1] - one[2], one[3] - one[1]] for one in found]).T
    with canvas(max(3.6, 0.62 * len(rows) + 1.2), 3.0) as (figure, axes):
        axes.bar(range(len(rows)), heights, 0.62, **fill(1))
        axes.errorbar(range(len(rows)), heights, yerr=ends, linestyle="", color="#111111", capsize=3)
        printed = [(place, one[4]) for place, one in enumerate(found) if one[4] is not None]
        if printed:
            axes.plot(*zip(*printed, strict=True), "D", color="#111111", markerfacecolor="white",
                      label=f"printed in {ran.suite.source}")  # fmt: skip
            axes.figure.legend(loc="outside upper left")
        axes.set_xticks(range(len(rows)), [fill_words(named(row), 14) for row in rows])
        axes.set_ylabel(show.metric.upper())
        axes.set_xlabel("bars: sd over seeds" if ran.seeds > 1 else "bars: 95 % over users")
        axes.grid(axis="x", visible=False)
    caption = f"{show.caption or show.metric.upper()}, {TITLES[protocol]}"
    columns = ["row", show.metric, "low", "high", "printed"]
    return Drawn(name, caption, figure, Grid.of(caption, columns, found))


def depths(ran: Ran, show: DepthsOf, name: str, data: str) -> Drawn:
    """Share of users by thoughts, rows beside each other."""
    drawn = parts.depths([ran.answers(_at(ran, row, data)) for row in ran.rows(show)])
    return Drawn(name, show.caption or drawn.caption, drawn.figure, drawn.data)


def by_depth(ran: Ran, show: ByDepthOf, name: str, data: str) -> Drawn:
    """A metric by thoughts, with 95 % intervals and how many users got so many."""
    row, *_ = ran.rows(show)
    answers, protocol = ran.answers(_at(ran, row, data)), ran.headline(data, [row])
    caption = f"{show.caption or f'{row}: {show.metric.upper()} by thoughts'}, {TITLES[protocol]}"
    grid = groups.grouped(groups.by_depth(answers), [answers], protocol, show.metric, caption)
    return results.over_groups(name, caption, "thoughts N", show.metric.upper(), grid)


def dynamics(ran: Ran, show: DynamicsOf, name: str, data: str) -> Drawn:
    """Mean N above and reward below, by update of the first seed."""
    row, *_ = ran.rows(show)
    log = list(read_log(ran.runs[_at(ran, row, data)][0] / "stages" / show.stage))
    keys = {"depth": "mean N (thoughts)", "reward": "mean reward"}
    updates = [(step, [values[key] for key in keys]) for step, values in log if keys.keys() <= values.keys()]
    if not updates:
        raise UserError(f"rows.{row}: no updates with depths and rewards in a stage {show.stage}")
    steps = np.array([step for step, _ in updates])
    with style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(5.2, 3.8))
        both: Sequence[Axes] = figure.subplots(2, 1, sharex=True)
        for axes, axis, values in zip(both, keys.values(), np.array([v for _, v in updates]).T, strict=True):
            _moving(axes, steps, values)
            axes.set_ylabel(axis)
            axes.margins(y=0.08)
        both[-1].set_xlabel(f"updates of stage “{show.stage}”")
        both[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        both[0].set_ylim(bottom=0)
        legend(both[0])
    caption = show.caption or f"{row}: mean N and reward along RL"
    data_rows = [(step, *values) for step, values in updates]
    return Drawn(name, caption, figure, Grid.of(caption, ["update", *keys], data_rows))


def _moving(axes: Axes, steps: np.ndarray, values: Float[np.ndarray, " n"]) -> None:
    """Each update's value in grey, with a running mean over it where there are many."""
    window = max(2, len(values) // 10)
    axes.plot(*thinned(steps, values), color="#999999", linewidth=0.8, label="each update")
    mean = running_mean(values, window)
    axes.plot(*thinned(steps, mean), color="#111111", label=f"mean of {window} updates")


def _logged(runs: Sequence[Path], stage: str, key: str) -> Points | None:
    """What runs logged, at the updates that all of them did; None where one did not."""
    found, epoch = [], 1.0
    for run in runs:
        log = list(read_log(run / "stages" / stage))
        found.append({step: values[key] for step, values in log if key in values})
        epoch = next((values["epoch"] / step for step, values in log if "epoch" in values), epoch)
    shared = sorted(set.intersection(*(set(values) for values in found)))
    if not shared:
        return None
    return np.array(shared) * epoch, np.array([[values[step] for step in shared] for values in found])


def _spread(ran: Ran, at: At, protocol: str, metric: str) -> tuple[float, tuple[float, float]]:
    """A mean, and how far it is known to both sides."""
    seeds = ran.seeds_of(at, protocol, metric)
    mean = float(seeds.mean())
    if len(seeds) > 1:
        return mean, (float(seeds.std(ddof=1)),) * 2
    ends = interval(ran.evaluated(at).values[protocol][metric][0], np.random.default_rng(0))
    return mean, (mean - ends[0], ends[1] - mean) if ends else (0.0, 0.0)


def _at(ran: Ran, row: str, data: str) -> At:
    return At(row, ran.columns[0], data)
