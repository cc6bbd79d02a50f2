"""Evaluation results for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

SHOWN = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each evaluate stage, behind the baselines that were asked for the same users."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in (*(name.upper() for name in SHOWN), "depth"):
        table.add_column(name, justify="right", no_wrap=True)
    baselines: Any = None
    for stage, row in metrics.items():
        if row["baselines"] != baselines:
            baselines = row["baselines"]
            table.add_row(f"[dim]{row['users']:,} users")
            for name, values in baselines.items():
                table.add_row(name, *_numbers(values))
        table.add_row(f"[bold]{stage}", *_numbers(row), f"{row['mean_depth']:.2f}")
    return table


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:.4f}" for name in SHOWN]
