"""Stages that tables and figures of a suite read of its runs, held against the specs before any runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lasar_kit.errors import nearest
from lasar_kit.spec.messages import Path
from lasar_kit.spec.stage import StageConfig
from lasar_kit.spec.suite_shows import CurvesOf, DynamicsOf, SegmentsOf

if TYPE_CHECKING:
    from lasar_kit.spec.suite import At, Suite

Stages = Mapping[str, StageConfig]
"""Those of a spec, by name."""


def absent(suite: Suite, stages: Mapping[At, Stages]) -> Iterator[tuple[Path, str]]:
    """The key and a line of each that no run has, or, where all rows are read, that one row lacks."""
    yield from _drawn(suite, stages)
    segments = any(isinstance(show, SegmentsOf) for show in suite.show)
    for at, of in stages.items():
        ranking = [name for name, stage in of.items() if type(stage).produces == "report"]
        if suite.stage is not None and suite.stage not in ranking:
            hint = nearest(suite.stage, ranking)
            yield ("stage",), f"no stage {suite.stage!r} of {at.row!r} ranks items; {hint}"
            return
        if not ranking and not segments:  # which are told of data, whatever was trained on them
            yield ("rows", at.row), "no stage of it ranks items; give it one that is an 'evaluate'"
            return


def _drawn(suite: Suite, stages: Mapping[At, Stages]) -> Iterator[tuple[Path, str]]:
    """Figures of what a stage logged, all of the first column: curves of any rows that have the stage, the
    dynamics of one row."""
    column = next(iter(stages)).column
    for number, show in enumerate(suite.show):
        if not isinstance(show, CurvesOf | DynamicsOf):
            continue
        rows, of = show.rows or tuple(suite.rows), ""
        if isinstance(show, DynamicsOf):
            rows, of = rows[:1], f" of {rows[0]!r}"
        read = [had for at, had in stages.items() if at.row in rows and at.column == column]
        names = {name for had in read for name in had}
        if show.stage not in names:
            hint = nearest(show.stage, names)
            yield ("show", number, "stage"), f"no run{of} has a stage {show.stage!r}; {hint}"
