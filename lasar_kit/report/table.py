"""Evaluation results for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from lasar_kit.errors import UserError
from lasar_kit.process.screen import Screen
from lasar_kit.store.artifacts import read_json
from lasar_kit.store.layout import METRICS
from lasar_kit.store.run_folder import reading_run

SHOWN = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")


def read_metrics(run: Path) -> dict[str, Any]:
    """What each evaluate stage of a finished run found, by stage; `UserError` where there is nothing."""
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
    """Print the table that a run ended with."""
    stored = read_metrics(run)
    with reading_run(run):
        table = metrics_table(stored)
    if not table.row_count:
        raise UserError(f"{run}: no stage of this run reports {', '.join(SHOWN)}")
    Screen().print(table)


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each stage that reports the metrics shown, behind the baselines asked for the same users."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in (*(name.upper() for name in SHOWN), "mean N"):
        table.add_column(name, justify="right", no_wrap=True)
    baselines: Any = None
    for stage, row in metrics.items():
        if not any(name in row for name in SHOWN):  # a plugin's report on something else
            continue
        if "baselines" in row and row["baselines"] != baselines:
            baselines = row["baselines"]
            table.add_row(f"[dim]{row['users']:,} users")
            for name, values in baselines.items():
                table.add_row(escape(name), *_numbers(values))
        depth = f"{row['mean_depth']:.2f}" if "mean_depth" in row else ""
        table.add_row(f"[bold]{escape(str(row.get('label', stage)))}", *_numbers(row), depth)
    return table


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:.4f}" if name in row else "" for name in SHOWN]
