"""The runs of a table of specs, before any of them begins; imports no torch, so mistakes are told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lasar_kit.errors import UserError
from lasar_kit.spec.cautions import Caution, doubtful, placed
from lasar_kit.spec.files import missing_files
from lasar_kit.spec.load import load_spec
from lasar_kit.spec.yaml_source import Node
from lasar_kit.store.run_folder import check_output

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
        cls,
        name: str,
        folder: Path,
        seeds: Sequence[int],
        spec: Path,
        changes: Sequence[str | Node],
        catalogue: Catalogue,
    ) -> list[Cell]:
        """The cells of a spec with changes, one a seed, in `folder` and the seed behind it; `UserError` where
        the changes are wrong."""
        cells = []
        for seed in seeds:
            named = folder.with_name(f"{folder.name}-{seed}")
            own = (f"seed={seed}", f"name={named.name}")
            cells.append(cls(name, seed, load_spec(spec, [*changes, *own], catalogue), named))
        return cells


Cells = Sequence[Sequence[Cell]]
"""Runs of each row, a seed each."""


def check_cells(rows: Cells) -> None:
    """`UserError` for what keeps any of the runs from beginning, before the first one does."""
    cells = [cell for row in rows for cell in row]
    if missing := dict.fromkeys(line for cell in cells for line in missing_files(cell.loaded)):
        raise UserError(*missing)
    for cell in cells:
        check_output(cell.folder)


def cautions_of(rows: Cells) -> list[str]:
    """A line for what in the specs of runs is hardly meant, with the rows that it concerns. Where rows say
    it in different places, that of the first is told."""
    concerned: dict[Caution, list[Cell]] = {}
    for first, *_ in rows:  # seeds of a row differ in nothing that matters here
        for caution in doubtful(first.loaded):
            concerned.setdefault(caution, []).append(first)
    return [
        f"{placed(cells[0].loaded, caution)} ({_named(cells, len(rows))})"
        for caution, cells in concerned.items()
    ]


def _named(cells: Sequence[Cell], rows: int) -> str:
    if len(cells) == rows:
        return "all rows"
    return f"row{'s' * (len(cells) > 1)} {'; '.join(cell.name for cell in cells)}"
