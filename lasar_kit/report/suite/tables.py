"""Tables of a suite, as papers print them: metrics with deviations and marks, times, segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lasar_kit.process.screen import duration
from lasar_kit.report.compare import Evaluated, unchanged_rows
from lasar_kit.report.grid import Cell, Column, Grid, Row, Told
from lasar_kit.report.suite.ran import Ran
from lasar_kit.report.table import TITLES
from lasar_kit.spec.suite import At
from lasar_kit.spec.suite_shows import TableOf, TimesOf

MARKS = ((0.01, "**"), (0.05, "*"))
"""Levels, and what is written behind a number that is known by them to differ."""


def metrics(ran: Ran, show: TableOf, full: bool) -> list[Grid]:
    """A table for each protocol, a block a data set. `full`, for other programs, tells deviations and
    p-values in lines of their own, in numbers."""
    rows = ran.rows(show)
    protocols = [ran.protocols(data, rows) for data in ran.data]
    shared = [name for name in protocols[0] if all(name in others for others in protocols)]
    return [_Metrics(ran, show, protocol, rows, full).grid() for protocol in shared]


class _Metrics:
    """The table of one protocol."""

    def __init__(self, ran: Ran, show: TableOf, protocol: str, rows: Sequence[str], full: bool) -> None:
        self.ran, self.show, self.protocol, self.rows, self.full = ran, show, protocol, rows, full
        self.words = list(dict.fromkeys(key for row in rows for key in ran.suite.rows[row].cells))

    def grid(self) -> Grid:
        found = [row for data in self.ran.data for row in self._block(data)]
        title = ", ".join(
            part for part in (self.show.caption or self.ran.suite.title, TITLES[self.protocol]) if part
        )
        return Grid(title, tuple(self._columns()), tuple(found), tuple(self._notes()))

    def _columns(self) -> Iterator[Column]:
        yield Column("model")
        yield from map(Column, self.words)
        for column in self.ran.columns:
            behind = f", {column}" if column else ""
            for metric in self.show.metrics:
                yield Column(metric.upper() + behind, best=True)
            if self.show.depth:
                yield Column("mean N" + behind, 2)
            if self.show.change:
                yield Column(f"Δ {self.show.of.upper()}" + behind)

    def _block(self, data: str) -> Iterator[Row]:
        group = data if len(self.ran.data) > 1 else ""
        places = [(column, metric) for column in self.ran.columns for metric in self.show.metrics]
        tests = {
            place: self.ran.tests(data, place[0], self.protocol, place[1], self.rows) for place in places
        }
        for number, row in enumerate(self.rows):
            said: list[Cell] = [self.ran.suite.rows[row].cells.get(key, "") for key in self.words]
            cells, deviations, p_values, printed = [row, *said], list(said), list(said), list(said)
            for column in self.ran.columns:
                at = At(row, column, data)
                for metric in self.show.metrics:
                    seeds = self.ran.seeds_of(at, self.protocol, metric)
                    p_value = tests[column, metric].get(row)
                    cells.append(self._number(seeds, p_value))
                    deviations.append(_deviation(seeds))
                    p_values.append(p_value)
                    printed.append(self.ran.printed(at, metric))
                others = list(self._others(at, number))
                cells += others
                deviations += [None] * len(others)
                p_values += [None] * len(others)
                printed += [self.ran.printed(at, "depth")] if self.show.depth else []
                printed += [None] if self.show.change else []
            yield Row(tuple(cells), model=row == self.ran.suite.reference, group=group)
            asides = [(f"sd of {self.ran.seeds} seeds", deviations), ("p", p_values)] if self.full else []
            for name, told in [*asides, ("printed", printed)]:
                if any(isinstance(cell, float) for cell in told):
                    blank = [None if isinstance(cell, str) else cell for cell in told]
                    yield Row((name, *blank), aside=True, group=group)

    def _number(self, seeds: np.ndarray, p_value: float | None) -> Cell:
        """A mean, with its deviation and its mark."""
        mean = float(seeds.mean())
        if self.full:
            return mean
        deviation = _deviation(seeds)
        spread = "" if deviation is None else f" ± {deviation:.4f}"
        mark = next((sign for level, sign in MARKS if p_value is not None and p_value < level), "")
        return Told(mean, f"{mean:.4f}{spread}" + (f" {mark}" if mark else ""))

    def _others(self, at: At, number: int) -> Iterator[Cell]:
        """Mean N, and the change against another row, where they are asked for."""
        if self.show.depth:
            depth = self.ran.evaluated(at).depth
            yield None if np.isnan(depth).any() else float(depth.mean())
        if self.show.change:
            other = self.rows[0] if self.show.change == "first" else self.rows[max(0, number - 1)]
            base = self.ran.seeds_of(At(other, at.column, at.data), self.protocol, self.show.of).mean()
            here = self.ran.seeds_of(at, self.protocol, self.show.of).mean()
            relative = here / base - 1 if base else np.nan
            told = Told(float(relative), f"{relative:+.1%}") if np.isfinite(relative) else None
            yield told if number else "–"

    def _notes(self) -> Iterator[str]:
        several = self.ran.seeds > 1
        users = ", ".join(
            f"{len(self.ran.evaluated(At(self.rows[0], self.ran.columns[0], data)).targets):,} users"
            + (f" of {data}" if data else "")
            for data in self.ran.data
        )
        yield users + (
            f"; mean ± standard deviation over {self.ran.seeds} seeds" if several else "; one seed"
        )
        if self.ran.suite.reference in self.rows and len(self.rows) > 1:
            marks = "p" if self.full else ", ".join(f"{sign} p < {level}" for level, sign in MARKS[::-1])
            yield (
                f"{marks}: against {self.ran.suite.reference}, two-sided, of 10,000 paired resamples of "
                "users, corrected for the rows of a column (Holm)"
            )
        yield from unchanged_rows(self._named())
        if any(self.ran.suite.rows[row].printed.get(data) for row in self.rows for data in self.ran.data):
            yield f"printed: in {self.ran.suite.source}"

    def _named(self) -> dict[str, Evaluated]:
        """What was evaluated, by names that tell the cells of the table apart."""
        return {
            ", ".join(
                [row, *([column] if column else []), *([data] if len(self.ran.data) > 1 else [])]
            ): self.ran.evaluated(At(row, column, data))
            for data in self.ran.data
            for row in self.rows
            for column in self.ran.columns
        }


def _deviation(seeds: np.ndarray) -> float | None:
    return float(seeds.std(ddof=1)) if len(seeds) > 1 else None


def times(ran: Ran, show: TimesOf) -> Grid:
    """What ranking for a user takes: models of the first seed, in turn on this machine."""
    columns = ("method", Column("time/sample (s)", 5), "total time", Column("times the first", 2))
    found = []
    for data in ran.data:
        rows = ran.rows(show)
        places = {row: At(row, ran.columns[0], data) for row in rows}
        models = {row: ran.runs[at][0] for row, at in places.items()}
        spent = ran.timer(models, show.batch_size, show.users)
        users = len(ran.evaluated(places[rows[0]]).targets)
        group = data if len(ran.data) > 1 else ""
        for row in rows:
            seconds = spent[row] / 1000
            total = Told(seconds * users, duration(seconds * users))
            found.append(Row((row, seconds, total, spent[row] / spent[rows[0]]), group=group))
            if (printed := ran.printed(places[row], "time")) is not None:
                found.append(Row(("printed", printed, None, None), aside=True, group=group))
    note = f"{show.batch_size} users at once, the least of several rounds in which the models take turns"
    title = show.caption or ran.suite.title
    named = tuple(Column(one) if isinstance(one, str) else one for one in columns)
    return Grid(title, named, tuple(found), (note, "total: for all users of the test part"))
