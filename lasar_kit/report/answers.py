"""Answers of evaluate stages, user by user: the places of targets, by the model and by rankers beside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from lasar_kit.core import metrics
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT, PROTOCOLS
from lasar_kit.errors import UserError
from lasar_kit.report.bootstrap import interval
from lasar_kit.report.table import Interval
from lasar_kit.store.layout import BESIDE, PREDICTIONS

PerUser = Mapping[str, Float[np.ndarray, " U"]]
"""Each user's `hr@K` and `ndcg@K`."""


@dataclass(frozen=True)
class Answers:
    """Answers of one stage: its users, their targets and depths, and by protocol the metrics of its model
    (under None) and of each ranker beside it, users in the order of the file."""

    stage: str
    label: str
    users: tuple[str, ...]
    targets: tuple[str, ...]
    depth: Int[np.ndarray, " U"]
    values: Mapping[str, Mapping[str | None, PerUser]]
    thinks: bool
    _ends: dict[tuple[str, str | None, str], tuple[float, float] | None] = field(default_factory=dict)

    @classmethod
    def read(cls, run: Path, stage: str, report: Mapping[str, Any], options: Mapping[str, Any]) -> Answers:
        """Of a stage of a run; `UserError` where it holds no line."""
        users, targets, depth = [], [], []
        ranks: dict[str, list[tuple[int, int]]] = {}
        for line in lines(run, stage):
            users.append(line["user"])
            targets.append(line["target"])
            depth.append(line.get("depth", 0))
            for protocol, place in places(line, options).items():
                ranks.setdefault(protocol, []).append(place)
        values: dict[str, dict[str | None, PerUser]] = {
            protocol: {None: _per_user(*np.array(place).T)} for protocol, place in ranks.items()
        }
        beside = run / "stages" / stage / BESIDE
        if beside.is_file():
            table = pl.read_parquet(beside, glob=False)
            assert tuple(table["user"]) == tuple(users), "in the order of the predictions"
            for protocol, name in _rankers(table):
                columns = (table[f"{protocol}/{name}/{what}"].to_numpy() for what in ("rank", "ties"))
                values.setdefault(protocol, {})[name] = _per_user(*columns)
        label, thinks = str(report.get("label", stage)), bool(report.get("mean_depth"))
        return cls(stage, label, tuple(users), tuple(targets), np.array(depth), values, thinks)

    def ends(self, protocol: str, ranker: str | None, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a mean; None where places are not known. The same each time."""
        asked = protocol, ranker, metric
        if asked not in self._ends:
            values = self.values.get(protocol, {}).get(ranker)
            draws = np.random.default_rng(0)
            self._ends[asked] = None if values is None else interval(values[metric], draws)
        return self._ends[asked]


def _rankers(table: pl.DataFrame) -> list[tuple[str, str]]:
    """Protocol and name, from the names of columns; a name may hold a stroke itself."""
    ranks = [column.removesuffix("/rank") for column in table.columns if column.endswith("/rank")]
    return [(protocol, name) for protocol, _, name in (column.partition("/") for column in ranks)]


def _per_user(rank: Int[np.ndarray, " U"], ties: Int[np.ndarray, " U"]) -> PerUser:
    return metrics.per_user(rank.astype(np.int64), ties.astype(np.int64))


def predictions(run: Path, stage: str) -> Path:
    """Where a stage of a run keeps what it ranked."""
    return run / "stages" / stage / PREDICTIONS


def lines(run: Path, stage: str) -> list[dict[str, Any]]:
    """The lines of a stage's predictions; `UserError` where there is none."""
    with predictions(run, stage).open(encoding="utf-8") as file:
        read = [json.loads(text) for text in file]
    if not read:
        raise UserError(f"{run}: the stage {stage!r} holds no predictions; run the spec again")
    return read


def places(line: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Rank and ties under each protocol that a line tells of; runs from before there were two tell of one,
    that of the stage's options."""
    told = {protocol: line[protocol] for protocol in PROTOCOLS if protocol in line}
    headline = HISTORY_OUT if options.get("exclude_history") else HISTORY_IN
    return {
        protocol: (place["rank"], place["ties"]) for protocol, place in (told or {headline: line}).items()
    }


def intervals(answers: Mapping[str, Answers]) -> dict[str | None, Interval]:
    """By protocol what gives the intervals of `metrics_grids`."""

    def of(protocol: str) -> Interval:
        def ends(stage: str, ranker: str | None, metric: str) -> tuple[float, float] | None:
            return answers[stage].ends(protocol, ranker, metric) if stage in answers else None

        return ends

    return {protocol: of(protocol) for protocol in PROTOCOLS}
