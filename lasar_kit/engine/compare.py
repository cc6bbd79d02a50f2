"""Compares finished runs, or the models of one, on the users that all were asked about.

Method: paired bootstrap over users.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich import box
from rich.table import Table

from lasar_kit import metrics
from lasar_kit.core.bootstrap import paired_bootstrap
from lasar_kit.engine.console import Screen
from lasar_kit.engine.output import reading_run
from lasar_kit.engine.report_table import read_metrics
from lasar_kit.engine.stages.evaluate import PREDICTIONS
from lasar_kit.errors import UserError, nearest

SHOWN = ("hr@5", "hr@10", "ndcg@5", "ndcg@10")
RESAMPLES = 10_000


@dataclass(frozen=True)
class Evaluated:
    """One evaluate stage of a run: each user's target and metrics, in the order of user ids."""

    label: str
    targets: dict[str, str]
    values: dict[str, Float[np.ndarray, " U"]]
    mean_depth: float


def compare(runs: Sequence[Path], stage: str | None) -> None:
    """Print each run's metrics, and, for all but the first, the change against it with its p-value.

    `stage` names the evaluate stage, the last of each run when None; of a single run all evaluate stages are
    compared. Raises `UserError` where they were not asked for the same items of the same users.
    """
    if len(runs) == 1 and stage is None:
        found = [_read(runs[0], name) for name in read_metrics(runs[0])]
    else:
        found = [_read(run, stage) for run in runs]
    if len(found) < 2:
        raise UserError("compare: give at least two runs, or one with several evaluate stages")
    for other in found[1:]:
        _check_same_users(found[0], other)
    Screen().print(_table(found))


def _read(run: Path, stage: str | None) -> Evaluated:
    stored = read_metrics(run)
    name = stage or list(stored)[-1]
    if name not in stored:
        raise UserError(f"{run}: no evaluate stage {name!r}; {nearest(name, stored)}")
    with reading_run(run):
        return _evaluated(run, name, float(stored[name]["mean_depth"]))


def _evaluated(run: Path, name: str, mean_depth: float) -> Evaluated:
    targets, ranks = {}, {}
    with (run / "stages" / name / PREDICTIONS).open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            targets[line["user"]] = line["target"]
            items = line["items"]
            ranks[line["user"]] = items.index(line["target"]) + 1 if line["target"] in items else 0
    if not ranks:
        raise UserError(f"{run}: the stage {name!r} holds no predictions; run the spec again")
    rank = np.array([ranks[user] for user in sorted(ranks)])
    return Evaluated(f"{run.name} {name}", targets, metrics.per_user(rank), mean_depth)


def _check_same_users(first: Evaluated, other: Evaluated) -> None:
    if first.targets == other.targets:
        return
    only = len(first.targets.keys() - other.targets), len(other.targets.keys() - first.targets)
    both = first.targets.keys() & other.targets.keys()
    asked = sum(first.targets[user] != other.targets[user] for user in both)
    raise UserError(
        f"{other.label}: was not asked what {first.label} was: {only[0]} users of the first are missing, "
        f"{only[1]} are new, {asked} have another target"
    )


def _table(found: Sequence[Evaluated]) -> Table:
    users = len(found[0].targets)
    caption = f"{users:,} users; change against the first row, two-sided p of {RESAMPLES:,} paired resamples"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption)
    table.add_column("run", no_wrap=True)
    for name in (*(name.upper() for name in SHOWN), "depth"):
        table.add_column(name, justify="right")
    for row in found:
        cells = [f"{row.values[name].mean():.4f}" for name in SHOWN]
        table.add_row(row.label, *cells, f"{row.mean_depth:.2f}")
        if row is not found[0]:
            changes = (_change(found[0].values[name], row.values[name]) for name in SHOWN)
            table.add_row("", *changes, style="dim")
    return table


def _change(first: Float[np.ndarray, " U"], other: Float[np.ndarray, " U"]) -> str:
    found = paired_bootstrap(other, first, np.random.default_rng(0), RESAMPLES)
    return f"{found.difference:+.4f} p={found.p_value:.3f}"
