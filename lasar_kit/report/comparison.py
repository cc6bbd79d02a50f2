"""Tables of models beside each other: changes, relative ones, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lasar_kit.report.bootstrap import Comparison, holm, stratified_bootstrap
from lasar_kit.report.grid import Cell, Column, Grid, Row, Told
from lasar_kit.report.table import SHOWN, TITLES

RESAMPLES = 10_000

Seeds = Mapping[str, Float[np.ndarray, "S U"]]
"""Each user's metrics under each of S seeds, by name."""


@dataclass(frozen=True)
class Compared:
    """Models that were asked the same: the data set where there are several, a line on the question, the
    protocol, by the name of each model its metrics and its mean depth under each seed, and `notes`."""

    data: str
    question: str
    protocol: str
    models: Mapping[str, tuple[Seeds, Float[np.ndarray, " S"]]]
    notes: tuple[str, ...] = ()

    def means(self, metric: str) -> list[Float[np.ndarray, " U"]]:
        """Each model's metric by user, the mean over its seeds."""
        return [seeds[metric].mean(0) for seeds, _ in self.models.values()]


@dataclass(frozen=True)
class Change:
    """How a row differs from another in a metric; `p_value` is corrected for the tests of its column."""

    difference: float
    relative: float
    p_value: float


def comparison(told: Compared) -> Grid:
    """A row a model; beneath it deviations over seeds, the change against the first row, and against the row
    above where that is another."""
    changes = {metric: _changes([told.means(metric)]) for metric in SHOWN}
    rows: list[Row] = []
    for place, (name, (seeds, depth)) in enumerate(told.models.items()):
        means = {metric: seeds[metric].mean(1) for metric in SHOWN}
        thoughts = None if np.isnan(depth).any() else float(depth.mean())
        rows.append(Row((name, *(float(value.mean()) for value in means.values()), thoughts)))
        if len(depth) > 1:
            rows.append(_deviations(list(means.values()), depth))
        rows += _asides([changes[metric][place] for metric in SHOWN])
    several = any(len(depth) > 1 for _, depth in told.models.values())
    notes = (*_notes(told.question, len(told.models), several), *told.notes)
    return Grid(_title(told), _columns(True), tuple(rows), notes)


def over_data_sets(sets: Sequence[Compared]) -> Grid:
    """The same of means over data sets, each counting as much; models stand in the same order on each."""
    names = list(sets[0].models)
    changes = {metric: _changes([told.means(metric) for told in sets]) for metric in SHOWN}
    rows: list[Row] = []
    for place, name in enumerate(names):
        means = [np.mean([told.means(metric)[place].mean() for told in sets]) for metric in SHOWN]
        rows.append(Row((name, *map(float, means))))
        asides = _asides([changes[metric][place] for metric in SHOWN])
        rows += [Row(aside.cells[:-1], aside=True) for aside in asides]
    title = f"mean over {len(sets)} data sets, {TITLES[sets[0].protocol]}"
    question = f"{', '.join(told.data for told in sets)}, each counting as much"
    return Grid(title, _columns(False), tuple(rows), _notes(question, len(names), False))


def _title(told: Compared) -> str:
    return ", ".join(part for part in (told.data, TITLES[told.protocol]) if part)


def _columns(depth: bool) -> tuple[Column, ...]:
    metrics = (Column(name.upper(), best=True) for name in SHOWN)
    return (Column("run"), *metrics, *((Column("mean N", 2),) if depth else ()))


def _notes(question: str, models: int, seeds: bool) -> tuple[str, ...]:
    line = question + ("; sd: standard deviation over seeds" if seeds else "")
    if models < 2:
        return (line,)
    tests = len(_pairs(models))
    corrected = f", corrected for the {tests} comparisons of a column (Holm)" if tests > 1 else ""
    return line, f"p: two-sided, of {RESAMPLES:,} paired resamples of users{corrected}"


def _pairs(models: int) -> list[tuple[int, int]]:
    """What is held against what: each row against the first, from the third on against the row above too."""
    return [(row, other) for row in range(1, models) for other in dict.fromkeys((0, row - 1))]


def _changes(sets: Sequence[Sequence[Float[np.ndarray, " U"]]]) -> list[list[Change]]:
    """For each row its changes against the first and, where that is another, the row above: of one metric, by
    data set and row."""
    pairs = _pairs(len(sets[0]))
    tests: list[Comparison] = [
        stratified_bootstrap(
            [(means[row], means[other]) for means in sets], np.random.default_rng(0), RESAMPLES
        )
        for row, other in pairs
    ]
    rows: list[list[Change]] = [[] for _ in sets[0]]
    for (row, other), test, p_value in zip(pairs, tests, holm([one.p_value for one in tests]), strict=True):
        base = float(np.mean([means[other].mean() for means in sets]))
        relative = test.difference / base if base else np.nan
        rows[row].append(Change(test.difference, relative, p_value))
    return rows


def _deviations(means: Sequence[Float[np.ndarray, " S"]], depth: Float[np.ndarray, " S"]) -> Row:
    """Standard deviations over seeds, of metrics and of mean depths."""
    told = [Told(float(value.std(ddof=1)), f"± {value.std(ddof=1):.4f}") for value in means]
    thoughts = None if np.isnan(depth).any() else Told(float(depth.std(ddof=1)), f"± {depth.std(ddof=1):.2f}")
    return Row((f"sd of {len(depth)} seeds", *told, thoughts), aside=True)


def _asides(changes: Sequence[Sequence[Change]]) -> Iterator[Row]:
    """Three lines for each row that is compared with: the first, the one above."""
    for which, words in zip(zip(*changes, strict=True), ("change", "change to above"), strict=False):
        yield _aside(words, [Told(one.difference, _signed(one.difference)) for one in which])
        yield _aside("relative", [_share(one.relative) for one in which])
        yield _aside("p", [one.p_value for one in which])


def _aside(words: str, cells: Sequence[Cell]) -> Row:
    return Row((words, *cells, None), aside=True)


def _share(relative: float) -> Told | None:
    """Nothing of a change from 0."""
    return Told(relative, f"{relative:+.1%}") if np.isfinite(relative) else None


def _signed(value: float) -> str:
    return f"{round(value, 4) + 0.0:+.4f}"  # 0.0 has no sign to show
