"""Results of evaluations, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lasar_kit.core.metrics import CUTOFFS, HISTORY_IN, HISTORY_OUT, PROTOCOLS
from lasar_kit.errors import UserError
from lasar_kit.report.formats import Format, show
from lasar_kit.report.grid import Cell, Column, Grid, Measured, Row
from lasar_kit.store.artifacts import read_json
from lasar_kit.store.layout import METRICS
from lasar_kit.store.run_folder import lacking, reading_run

SHOWN = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")
LONGEST = max(CUTOFFS)
TITLES = {HISTORY_IN: "history in the lists", HISTORY_OUT: "history left out of the lists", None: ""}


def read_metrics(run: Path) -> dict[str, Any]:
    """Return the metrics of each evaluate stage of a finished run; `UserError` where there are none."""
    try:
        stored: dict[str, Any] = read_json(run / METRICS)
    except (OSError, ValueError):
        raise UserError(f"{run}: is not the folder of a finished run, {lacking(run, METRICS)}") from None
    if not isinstance(stored, dict):
        raise UserError(
            f"{run / METRICS}: expected an object with a table a stage, got a {type(stored).__name__}"
        )
    if not stored:
        raise UserError(f"{run}: this run has no evaluate stage")
    return stored


Interval = Callable[[str, str | None, str], tuple[float, float] | None]
"""By stage, ranker (None for the stage's model) and metric, where both ends of its interval are."""


def report(runs: Sequence[Path], format: Format = "text") -> None:
    """Print the tables that runs ended with."""
    grids = []
    for run in runs:
        stored = read_metrics(run)
        with reading_run(run):
            tables = metrics_grids(stored)
        if not tables:
            raise UserError(f"{run}: no stage of this run reports {', '.join(SHOWN)}")
        grids += [replace(grid, title=f"{run}: {grid.title}") if len(runs) > 1 else grid for grid in tables]
    show(grids, format)


def metrics_grids(
    metrics: Mapping[str, Mapping[str, Any]], interval: Mapping[str | None, Interval] | None = None
) -> list[Grid]:
    """Tables of each protocol, one for all models that were asked about the same users, behind the baselines.

    Numbers of two protocols stand in no column together. Stages that know of none (those of runs from before
    there were two, or of plugins) have tables of their own. `interval` gives those of a protocol's numbers.
    """
    tables = []
    for protocol in (*PROTOCOLS, None):
        known = (interval or {}).get(protocol, lambda stage, ranker, metric: None)
        asked: list[_Row] = []
        for stage, report in metrics.items():
            row = _Row.of(stage, report, protocol)
            if row is None:
                continue
            if asked and row.question not in (None, asked[0].question):
                tables.append(_grid(asked, protocol, known))
                asked = []
            asked.append(row)
        tables += [_grid(asked, protocol, known)] if asked else []
    return tables


@dataclass(frozen=True)
class _Row:
    """A model's numbers under one protocol, and its whole report."""

    stage: str
    name: str
    numbers: Mapping[str, Any]
    report: Mapping[str, Any]

    @classmethod
    def of(cls, stage: str, report: Mapping[str, Any], protocol: str | None) -> _Row | None:
        """None where it says nothing: a plugin's report may be on something else."""
        told = any(name in report for name in PROTOCOLS)
        numbers = report.get(protocol, {}) if protocol else {} if told else report
        if not any(name in numbers for name in SHOWN):
            return None
        return cls(stage, str(report.get("label", stage)), numbers, report)

    @property
    def question(self) -> tuple[Any, ...] | None:
        """The same for models that were asked about the same users, as far as their baselines tell."""
        if "baselines" not in self.numbers:
            return None
        return self.report["users"], self.numbers["baselines"]

    @property
    def depth(self) -> float | None:
        return float(self.report["mean_depth"]) if "mean_depth" in self.report else None


def _grid(rows: Sequence[_Row], protocol: str | None, interval: Interval) -> Grid:
    first = rows[0]
    users = f"{first.report['users']:,} users" if "users" in first.report else ""
    title = ", ".join(part for part in (users, TITLES[protocol]) if part)
    columns = (Column("model"), *(Column(name.upper(), best=True) for name in SHOWN), Column("mean N", 2))
    baselines: Mapping[str, Mapping[str, Any]] = first.numbers.get("baselines", {})
    beside = [
        Row((name, *_cells(values, partial(interval, first.stage, name)), None))
        for name, values in baselines.items()
    ]
    models = [
        Row((row.name, *_cells(row.numbers, partial(interval, row.stage, None)), row.depth), model=True)
        for row in rows
    ]
    lists = [*baselines.items(), *((row.name, row.numbers) for row in rows)]
    unchanged = [line for row in rows if (line := unchanged_line(row.name, row.report))]
    cold = [line for row in rows if protocol and (line := cold_line(row.name, row.report, protocol))]
    return Grid(title, columns, (*beside, *models), (*_limits(first, lists), *cold, *unchanged))


def cold_line(name: str, report: Mapping[str, Any], protocol: str) -> str:
    """Tells how a model does with items that training went without, and without them; else nothing."""
    told = report.get("cold")
    if told is None:
        return ""
    groups = {group: told[group] for group in ("cold", "warm") if told[group]["users"]}
    numbers = "; ".join(
        f"{group} targets of {row['users']:,} users: HR@10 {row[protocol]['hr@10']:.4f}, "
        f"NDCG@10 {row[protocol]['ndcg@10']:.4f}"
        for group, row in groups.items()
    )
    return f"{name}, once {told['items']:,} items that training went without have come: {numbers}"


def unchanged_line(name: str, report: Mapping[str, Any]) -> str:
    """Says of a row that is the model before the stage it is of, as none of its updates was kept; else
    nothing."""
    stage = report.get("unchanged_by")
    told = f"{name} is the model before {stage}: no update of {stage} made it better on validation"
    return told if stage else ""


def _limits(first: _Row, lists: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Tell what no list could hold, and which lists are short, a line each."""
    short = [f"{name} {row['short_lists']:,}" for name, row in lists if row.get("short_lists")]
    users = first.report.get("users", 0)
    if short:
        yield f"lists of fewer than {LONGEST} items, of {users:,}: {', '.join(short)}"
    if first.numbers.get("ceiling", 1.0) < 1.0:
        unreachable, ceiling = first.report["targets_in_history"], first.numbers["ceiling"]
        yield f"{unreachable:,} targets stand in their users' histories: HR can reach {ceiling:.4f}"


def _cells(row: Mapping[str, Any], interval: Callable[[str], tuple[float, float] | None]) -> list[Cell]:
    return [
        Measured(float(row[name]), *(interval(name) or (None, None))) if name in row else None
        for name in SHOWN
    ]
