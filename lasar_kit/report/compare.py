"""Compares finished runs, or the models of one, on the users that all were asked about.

Runs of one spec under several seeds are one row; each data set has tables of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

from lasar_kit.core import metrics
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT, PROTOCOLS
from lasar_kit.errors import UserError, nearest
from lasar_kit.report.answers import lines, places, predictions
from lasar_kit.report.comparison import Compared, comparison, over_data_sets
from lasar_kit.report.formats import Format, show
from lasar_kit.report.grid import Grid
from lasar_kit.report.table import read_metrics, unchanged_line
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import reading_run

SAME_MODEL = ("name", "seed", "tracking")
"""Keys of a spec in which the runs of one row may differ."""

DATA = "dataset"
"""The key in which the rows of one model over several data sets differ too."""


@dataclass(frozen=True)
class Finished:
    """A run: its folder, its spec, and what it says of each stage that ranked items for users, in order."""

    path: Path
    spec: Mapping[str, Any]
    stages: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Finished:
        """`UserError` where nothing in the folder was ranked."""
        stored = read_metrics(path)
        ranked = {name: row for name, row in stored.items() if predictions(path, name).is_file()}
        if not ranked:
            raise UserError(f"{path}: no stage of this run holds predictions; run the spec again")
        with reading_run(path):
            spec = dict(yaml.safe_load((path / LOCK).read_text(encoding="utf-8")))
            return cls(path, {**spec, "name": str(spec["name"]), "seed": int(spec["seed"])}, ranked)


@dataclass(frozen=True)
class Evaluated:
    """One evaluate stage of a run, or of S runs that differ in their seed: names of run and stage, the data
    set as the spec has it, each user's target, by protocol the metrics by seed with users in the order of
    their ids, mean depths, and the reports of those that the stage before them left as they were."""

    run: str
    stage: str
    data: str
    targets: dict[str, str]
    values: dict[str, dict[str, Float[np.ndarray, "S U"]]]
    depth: Float[np.ndarray, " S"]
    unchanged: tuple[Mapping[str, Any], ...] = ()

    @property
    def label(self) -> str:
        return f"{self.run} {self.stage}"


def compare(runs: Sequence[Path], stage: str | None, format: Format = "text") -> None:
    """Print each model's metrics, and, for all but the first, the change against it and against the row
    above, with p-values: a table for each protocol that all were asked under.

    Runs whose specs differ in the seed alone are one row: means, standard deviations over seeds, and tests of
    each user's mean. Runs on other data sets have tables of their own, and one over all data sets where each
    has as many models. `stage` names the evaluate stage, the last of each run when None; of a single spec
    all are compared. Raises `UserError` where runs on one data set were not asked for the same items of the
    same users, or under no protocol together, as of two runs from before there were two.
    """
    show(comparisons([Finished.read(run) for run in runs], stage), format)


def comparisons(runs: Sequence[Finished], stage: str | None) -> list[Grid]:
    """The tables of `compare`."""
    specs = _by_spec(runs)
    if len(specs) == 1 and stage is None:
        rows = [_over_seeds(specs[0], name) for name in specs[0][0].stages]
    else:
        rows = [_over_seeds(same, stage) for same in specs]
    if len(rows) == len(specs[0]) == 1:
        raise UserError("compare: give at least two runs, or one with several evaluate stages")
    sets = _by_data_set(rows)
    told = {
        name: {protocol: _compared(same, protocol, name) for protocol in common_protocols(same)}
        for name, same in sets.items()
    }
    grids = [comparison(one) for protocols in told.values() for one in protocols.values()]
    if len(sets) > 1 and len({len(same) for same in sets.values()}) == 1:
        shared = [protocol for protocol in PROTOCOLS if all(protocol in one for one in told.values())]
        grids += [over_data_sets([one[protocol] for one in told.values()]) for protocol in shared]
    return grids


def _by_data_set(rows: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """Rows on each data set, by a name that tells it from the others; a single one needs none."""
    sets: dict[str, list[Evaluated]] = {}
    for row in rows:
        sets.setdefault(row.data, []).append(row)
    if len(sets) == 1:
        return {"": list(rows)}
    names = _data_names([yaml.safe_load(data) for data in sets])
    return dict(zip(names, sets.values(), strict=True))


def _data_names(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The last part of the path, or the source; numbered where two are alike."""
    names = [Path(str(spec.get("path") or spec.get("use"))).name for spec in specs]
    return [
        name if names.count(name) == 1 else f"{name} {place}" for place, name in enumerate(names, start=1)
    ]


def _compared(rows: Sequence[Evaluated], protocol: str, data: str) -> Compared:
    common, names = _names(rows)
    users = f"{len(rows[0].targets):,} users"
    return Compared(
        data,
        f"{common}{users}",
        protocol,
        {name: (row.values[protocol], row.depth) for name, row in zip(names, rows, strict=True)},
        tuple(unchanged_rows(dict(zip(names, rows, strict=True)))),
    )


def unchanged_rows(rows: Mapping[str, Evaluated]) -> Iterator[str]:
    """A line for each row that is, under some seeds, the model before the stage it is of."""
    for name, row in rows.items():
        if row.unchanged:
            some = f" ({len(row.unchanged)} of {len(row.depth)} seeds)" if len(row.depth) > 1 else ""
            yield unchanged_line(name + some, row.unchanged[0])


def over_seeds_of(runs: Sequence[Path], stage: str | None) -> Evaluated:
    """One stage of runs of a spec under several seeds, the last when None."""
    return _over_seeds([Finished.read(run) for run in runs], stage)


def _by_spec(runs: Sequence[Finished]) -> list[list[Finished]]:
    """Runs of one spec under different seeds together; another run under the same seed is another row."""
    rows: dict[tuple[str, int], list[Finished]] = {}
    seen: Counter[tuple[str, int]] = Counter()
    for run in runs:
        model = repr({key: run.spec[key] for key in run.spec if key not in SAME_MODEL})
        seed = run.spec["seed"]
        rows.setdefault((model, seen[model, seed]), []).append(run)
        seen[model, seed] += 1
    return list(rows.values())


def _over_seeds(runs: Sequence[Finished], stage: str | None) -> Evaluated:
    """One stage of runs that differ in their seed alone."""
    seeds = [_read(run, stage) for run in runs]
    if len(seeds) == 1:
        return seeds[0]
    values = {
        protocol: {
            name: np.concatenate([one.values[protocol][name] for one in seeds])
            for name in seeds[0].values[protocol]
        }
        for protocol in common_protocols(seeds)
    }
    depth = np.concatenate([one.depth for one in seeds])
    unchanged = tuple(report for one in seeds for report in one.unchanged)
    return replace(seeds[0], run=runs[0].spec["name"], values=values, depth=depth, unchanged=unchanged)


def _read(run: Finished, stage: str | None) -> Evaluated:
    name = stage or list(run.stages)[-1]
    if name not in run.stages:
        raise UserError(f"{run.path}: no evaluate stage {name!r}; {nearest(name, run.stages)}")
    with reading_run(run.path):
        return _evaluated(run, name)


def _evaluated(run: Finished, name: str) -> Evaluated:
    targets: dict[str, str] = {}
    ranks: dict[str, dict[str, tuple[int, int]]] = {}
    for line in lines(run.path, name):
        targets[line["user"]] = line["target"]
        for protocol, place in places(line, run.spec["stages"][name]).items():
            ranks.setdefault(protocol, {})[line["user"]] = place
    row = run.stages[name]
    values = {protocol: _values(place) for protocol, place in ranks.items()}
    depth = np.array([float(row.get("mean_depth", np.nan))])
    data = yaml.safe_dump(run.spec.get(DATA, {}))
    unchanged = (row,) if "unchanged_by" in row else ()
    return Evaluated(run.path.name, str(row.get("label", name)), data, targets, values, depth, unchanged)


def _values(places: Mapping[str, tuple[int, int]]) -> dict[str, Float[np.ndarray, "1 U"]]:
    """Each user's metrics, users in the order of their ids."""
    rank, ties = np.array([places[user] for user in sorted(places)]).T
    return {key: value[None] for key, value in metrics.per_user(rank, ties).items()}


def common_protocols(rows: Sequence[Evaluated]) -> list[str]:
    """The protocols that all were asked under; `UserError` unless all were asked the same."""
    for other in rows[1:]:
        _check_same_question(rows[0], other)
    common = [protocol for protocol in PROTOCOLS if all(protocol in one.values for one in rows)]
    if not common:
        plain = next(one for one in rows if HISTORY_OUT not in one.values)
        left_out = next(one for one in rows if HISTORY_IN not in one.values)
        raise UserError(
            f"{left_out.label} leaves histories out of its lists, {plain.label} does not, and neither tells "
            "of both; run one of them again, or give runs that leave out the same"
        )
    return common


def _check_same_question(first: Evaluated, other: Evaluated) -> None:
    if first.targets == other.targets:
        return
    only = len(first.targets.keys() - other.targets), len(other.targets.keys() - first.targets)
    both = first.targets.keys() & other.targets.keys()
    asked = sum(first.targets[user] != other.targets[user] for user in both)
    raise UserError(
        f"{other.label}: was not asked what {first.label} was: {only[0]} users of the first are missing, "
        f"{only[1]} are new, {asked} have another target"
    )


def _names(rows: Sequence[Evaluated]) -> tuple[str, list[str]]:
    """Split names into what all rows have in common, if anything, and what tells them apart."""
    runs, stages = [row.run for row in rows], [row.stage for row in rows]
    for names, others in ((runs, stages), (stages, runs)):
        if len(set(names)) == len(names) and len(set(others)) == 1:
            return f"{others[0]}: ", names
    labels = [row.label for row in rows]
    return "", [
        label if labels.count(label) == 1 else f"{label} {place}"
        for place, label in enumerate(labels, start=1)
    ]
