"""Runs many specs that belong together, each under several seeds, beside each other in one folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from lasar_kit.process.screen import Screen, duration
from lasar_kit.run.runner import run_spec, steps_of, store_of
from lasar_kit.spec.load import load_spec
from lasar_kit.store.layout import METRICS

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.load import LoadedSpec


@dataclass(frozen=True)
class Cell:
    """A run of a suite: what it is of, its seed, its spec, and its folder beside the others'."""

    name: str
    seed: int
    loaded: LoadedSpec
    folder: Path

    @classmethod
    def of(
        cls, name: str, folder: Path, seed: int, spec: Path, changes: Sequence[str], catalogue: Catalogue
    ) -> Cell:
        """The cell of a spec with changes as of `--set`; `UserError` where they are wrong."""
        named = folder.with_name(f"{folder.name}-{seed}")
        own = (f"seed={seed}", f"name={named.name}")
        return cls(name, seed, load_spec(spec, [*changes, *own], catalogue), named)

    def finished(self, catalogue: Catalogue) -> bool:
        """Whether its folder holds all of the run, made by the code and files as they are."""
        if not (self.folder / METRICS).is_file():
            return False
        store = store_of(self.folder, Screen(silent=True))
        held = (store.find(step.stage.name, step.key) for step in steps_of(self.loaded, catalogue))
        return all(one is not None and one.path.is_relative_to(self.folder) for one in held)


def run_cells(cells: Sequence[Cell], catalogue: Catalogue) -> None:
    """Run what is missing, seed after seed, so that a first whole table is there early.

    A run that was cut off goes on, and stages that runs have in common are made once. Says what is left, and
    from the second run on about how long it takes.
    """
    screen = Screen()
    left = [cell for cell in sorted(cells, key=lambda cell: cell.seed) if not cell.finished(catalogue)]
    screen.print(f"{len(cells) - len(left)} of {len(cells)} runs are there, {len(left)} left")
    started = time.monotonic()
    for number, cell in enumerate(left):
        spent = time.monotonic() - started
        about = f", about {duration(spent / number * (len(left) - number))} left" if number else ""
        screen.print(
            f"\n[bold]run {number + 1} of {len(left)}: {escape(cell.name)}, seed {cell.seed}[/bold]{about}"
        )
        run_spec(cell.loaded, catalogue, cell.folder, use_cache=True, tables=False)
