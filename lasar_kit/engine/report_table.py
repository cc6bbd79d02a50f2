"""Evaluation results for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

SHOWN = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each evaluate stage, behind the baselines that were asked for the same users."""
    title = "leave-one-out over the whole catalogue"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_style="dim", pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("users", *(name.upper() for name in SHOWN), "depth"):
        table.add_column(name, justify="right", no_wrap=True)
    baselines: Any = None
    for stage, row in metrics.items():
        if row["baselines"] != baselines:
            baselines = row["baselines"]
            for name, values in baselines.items():
                table.add_row(name, f"{row['users']:,}", *_numbers(values), "")
        depth = f"{row['mean_depth']:.2f}"
        table.add_row(f"[bold]{stage}", f"{row['users']:,}", *_numbers(row), depth)
    return table


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:.4f}" for name in SHOWN]
