"""The commands that run many specs: `lasar-kit study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lasar_kit.cli.plugins import Plugin, discovered, warn
from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.run.controls import Rows
    from lasar_kit.run.suite import Cell

Output = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the runs; runs/study-SPEC when absent.")
]


def study(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A run in YAML that thinks.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each row, from the spec's own on.")] = 3,
    max_depth: Annotated[
        int | None,
        typer.Option(min=0, help="Largest fixed and forced depth; all that the policy has when absent."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the spec.")
    ] = None,
    output: Output = None,
    plugin: Plugin = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run.")] = False,
) -> None:
    """Does thinking help? The spec against no thoughts, pauses, noise and fixed depths, in one table."""
    from lasar_kit.process import signals
    from lasar_kit.run import launch
    from lasar_kit.run.controls import rows_of
    from lasar_kit.run.suite import run_cells

    if launch.inside():
        raise UserError("study: runs on one process; it is its runs that may be started on several")
    catalogue = discovered(plugin)
    catalogue.load_hooks()
    warn(catalogue)
    overrides = set_ or []
    rows = rows_of(spec, overrides, catalogue, max_depth)
    folder = output or Path("runs") / f"study-{spec.stem}"
    cells = _cells(rows, spec, overrides, folder, seeds, catalogue)
    _check(cells)
    if dry_run:
        _say(cells, rows, catalogue)
        return
    with signals.heeded():
        run_cells([cell for row in cells for cell in row], catalogue)
    _report(rows, cells, folder, catalogue)


def _cells(
    rows: Rows, spec: Path, overrides: list[str], folder: Path, seeds: int, catalogue: Catalogue
) -> list[list[Cell]]:
    """The runs of each row, a seed each."""
    from lasar_kit.run.suite import Cell
    from lasar_kit.spec import load_spec

    first = load_spec(spec, overrides, catalogue).spec.seed
    return [
        [
            Cell.of(row.name, folder / row.folder, seed, spec, [*overrides, *row.changes], catalogue)
            for seed in range(first, first + seeds)
        ]
        for row in rows.rows
    ]


def _check(cells: list[list[Cell]]) -> None:
    """`UserError` for what keeps any of the runs from beginning, before the first one does."""
    from lasar_kit.spec import missing_files
    from lasar_kit.store.run_folder import check_output

    if missing := missing_files(cells[0][0].loaded):
        raise UserError(*missing)
    for row in cells:
        for cell in row:
            check_output(cell.folder)


def _say(cells: list[list[Cell]], rows: Rows, catalogue: Catalogue) -> None:
    for row in cells:
        there = sum(cell.finished(catalogue) for cell in row)
        print(f"{row[0].name}: {there} of {len(row)} runs are there")
    for name, reason in rows.skipped.items():
        print(f"not run: {name}: {reason}")


def _report(rows: Rows, cells: list[list[Cell]], folder: Path, catalogue: Catalogue) -> None:
    """Time the models, then show and write what was found."""
    from lasar_kit.process.screen import Screen, quiet_libraries
    from lasar_kit.report.study import Ran, Study
    from lasar_kit.run.controls import AT_DEPTH
    from lasar_kit.serve.cost import milliseconds_a_user

    screen = Screen()
    quiet_libraries()
    screen.print("\ntiming the models")
    cost = milliseconds_a_user({row[0].name: row[0].folder for row in cells}, catalogue)
    ran = [
        Ran(row.name, row.kind, tuple(cell.folder for cell in of))
        for row, of in zip(rows.rows, cells, strict=True)
    ]
    stages = cells[0][0].loaded.spec.stages
    depths = {depth: AT_DEPTH.format(depth) for depth in rows.depths if AT_DEPTH.format(depth) in stages}
    out = bool(getattr(stages[rows.stage], "exclude_history", False))
    found = Study.of(ran, rows.stage, depths, rows.skipped, cost, out)
    found.show(screen)
    found.write(folder)
    screen.print(f"numbers and figure in {folder}")
