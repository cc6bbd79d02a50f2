"""Runs many specs that belong together, each under several seeds, beside each other in one folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape

from lasar_kit.process.screen import Screen, duration
from lasar_kit.run.cells import Cell, Cells
from lasar_kit.run.estimates import Estimates
from lasar_kit.run.runner import contents_of, run_spec, steps_of, store_of
from lasar_kit.store.layout import METRICS

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue


def finished(cell: Cell, catalogue: Catalogue) -> bool:
    """Whether a run's folder holds all of it, made by the code and files as they are."""
    if not (cell.folder / METRICS).is_file():
        return False
    store, contents = store_of(cell.folder, Screen(silent=True)), contents_of(cell.folder, Screen())
    steps = steps_of(cell.loaded, catalogue, contents.of)
    held = (store.find(step.stage.name, step.key) for step in steps)
    return all(one is not None and one.path.is_relative_to(cell.folder) for one in held)


def tell_cells(rows: Cells, catalogue: Catalogue) -> None:
    """Print which runs are there, and what the others may take."""
    screen = Screen()
    for row in rows:
        there = sum(finished(cell, catalogue) for cell in row)
        screen.print(escape(f"{row[0].name}: {there} of {len(row)} runs are there"))
    left = Left.of([cell for row in rows for cell in row if not finished(cell, catalogue)], catalogue)
    if left.steps:
        screen.print(escape(left.line(0, 0.0)))


def run_cells(rows: Cells, catalogue: Catalogue) -> None:
    """Run what is missing, seed after seed, so that a first whole table is there early.

    A run that was cut off goes on, and stages that runs have in common are made once. Says what is left, and
    about how long it takes.
    """
    screen = Screen()
    cells = sorted((cell for row in rows for cell in row), key=lambda cell: cell.seed)
    todo = [cell for cell in cells if not finished(cell, catalogue)]
    screen.print(f"{len(cells) - len(todo)} of {len(cells)} runs are there, {len(todo)} left")
    if not todo:
        return
    left, started = Left.of(todo, catalogue), time.monotonic()
    for number, cell in enumerate(todo):
        screen.print(
            f"\n[bold]run {number + 1} of {len(todo)}: {escape(cell.name)}, seed {cell.seed}[/bold]; "
            + escape(left.line(number, time.monotonic() - started))
        )
        label = f"run {number + 1} of {len(todo)}"
        run_spec(cell.loaded, catalogue, cell.folder, use_cache=True, tables=False, label=label)


@dataclass(frozen=True)
class Left:
    """What runs are yet to do: the stages that each is the first to need, by the time they may take where
    earlier runs tell."""

    steps: Sequence[Mapping[str, float | None]]

    @classmethod
    def of(cls, cells: Sequence[Cell], catalogue: Catalogue) -> Left:
        seen, past = set[str](), Estimates(cells[0].folder) if cells else None
        return cls([dict(_first_needed(cell, seen, past, catalogue)) for cell in cells if past])

    def line(self, done: int, spent: float) -> str:
        """What is left once so many of the runs are done, which took so many seconds."""
        stages = [took for steps in self.steps[done:] for took in steps.values()]
        before = [took for steps in self.steps[:done] for took in steps.values()]
        known = [took for took in stages if took is not None]
        text = f"{len(stages)} stages left" if len(stages) != 1 else "1 stage left"
        if len(known) == len(stages):
            return f"{text}, about {duration(sum(known))}"
        if before:  # what those before took for a stage is the best guess of the others
            return f"{text}, about {duration(spent / len(before) * len(stages))}"
        return text


def _first_needed(
    cell: Cell, seen: set[str], past: Estimates, catalogue: Catalogue
) -> Iterator[tuple[str, float | None]]:
    """Stages that no cell before needs and that are not there, each with the seconds it may take."""
    store, contents = store_of(cell.folder, Screen(silent=True)), contents_of(cell.folder, Screen())
    for step in steps_of(cell.loaded, catalogue, contents.of):
        if step.key in seen or store.has(step.key):
            continue
        seen.add(step.key)
        estimate = past.of(step.stage, cell.loaded.spec)
        yield step.stage.name, None if estimate is None else estimate.seconds
