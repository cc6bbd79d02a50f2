"""Evaluation results for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from lasar_kit.core.metrics import CUTOFFS, HISTORY_IN, HISTORY_OUT, PROTOCOLS
from lasar_kit.errors import UserError
from lasar_kit.process.screen import Screen
from lasar_kit.store.artifacts import read_json
from lasar_kit.store.layout import METRICS
from lasar_kit.store.run_folder import reading_run

SHOWN = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")
LONGEST = max(CUTOFFS)
TITLES = {HISTORY_IN: "history in the lists", HISTORY_OUT: "history left out of the lists", None: ""}


def read_metrics(run: Path) -> dict[str, Any]:
    """Return the metrics of each evaluate stage of a finished run; `UserError` where there are none."""
    try:
        stored: dict[str, Any] = read_json(run / METRICS)
    except (OSError, ValueError):
        raise UserError(f"{run}: is not the folder of a finished run, it holds no {METRICS}") from None
    if not isinstance(stored, dict):
        raise UserError(
            f"{run / METRICS}: expected an object with a table a stage, got a {type(stored).__name__}"
        )
    if not stored:
        raise UserError(f"{run}: this run has no evaluate stage")
    return stored


def report(run: Path) -> None:
    """Print the tables that a run ended with."""
    stored = read_metrics(run)
    with reading_run(run):
        tables = metrics_tables(stored)
    if not tables:
        raise UserError(f"{run}: no stage of this run reports {', '.join(SHOWN)}")
    for table in tables:
        Screen().print(table)


def metrics_tables(metrics: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Tables of each protocol, one for all models that were asked about the same users, behind the baselines.

    Numbers of two protocols stand in no column together. Stages that know of none (those of runs from before
    there were two, or of plugins) have tables of their own.
    """
    tables = []
    for protocol in (*PROTOCOLS, None):
        asked: list[_Row] = []
        for stage, report in metrics.items():
            row = _Row.of(stage, report, protocol)
            if row is None:
                continue
            if asked and row.question not in (None, asked[0].question):
                tables.append(_table(asked, protocol))
                asked = []
            asked.append(row)
        tables += [_table(asked, protocol)] if asked else []
    return tables


@dataclass(frozen=True)
class _Row:
    """A model's numbers under one protocol, and its whole report."""

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
        return cls(str(report.get("label", stage)), numbers, report)

    @property
    def question(self) -> tuple[Any, ...] | None:
        """The same for models that were asked about the same users, as far as their baselines tell."""
        if "baselines" not in self.numbers:
            return None
        return self.report["users"], self.numbers["baselines"]

    @property
    def depth(self) -> str:
        return f"{self.report['mean_depth']:.2f}" if "mean_depth" in self.report else ""


def _table(rows: Sequence[_Row], protocol: str | None) -> Table:
    first = rows[0]
    users = f"{first.report['users']:,} users" if "users" in first.report else ""
    title = ", ".join(part for part in (users, TITLES[protocol]) if part)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", caption_justify="left"
    )
    table.add_column("model", no_wrap=True)
    for name in (*(name.upper() for name in SHOWN), "mean N"):
        table.add_column(name, justify="right", no_wrap=True)
    baselines: Mapping[str, Mapping[str, Any]] = first.numbers.get("baselines", {})
    for name, values in baselines.items():
        table.add_row(escape(name), *_cells(values))
    for row in rows:
        table.add_row(f"[bold]{escape(row.name)}", *_cells(row.numbers), row.depth)
    lists = [*baselines.items(), *((row.name, row.numbers) for row in rows)]
    unchanged = [line for row in rows if (line := unchanged_line(row.name, row.report))]
    table.caption = "\n".join([*_limits(first, lists), *unchanged]) or None
    return table


def unchanged_line(name: str, report: Mapping[str, Any]) -> str:
    """Says of a row that is the model before the stage it is of, as none of its updates was kept; else
    nothing."""
    stage = report.get("unchanged_by")
    told = f"{name} is the model before {stage}: no update of {stage} made it better on validation"
    return escape(told) if stage else ""


def _limits(first: _Row, lists: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Tell what no list could hold, and which lists are short, a line each."""
    short = [f"{escape(name)} {row['short_lists']:,}" for name, row in lists if row.get("short_lists")]
    users = first.report.get("users", 0)
    if short:
        yield f"lists of fewer than {LONGEST} items, of {users:,}: {', '.join(short)}"
    if first.numbers.get("ceiling", 1.0) < 1.0:
        unreachable, ceiling = first.report["targets_in_history"], first.numbers["ceiling"]
        yield f"{unreachable:,} targets stand in their users' histories: HR can reach {ceiling:.4f}"


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:.4f}" if name in row else "" for name in SHOWN]
