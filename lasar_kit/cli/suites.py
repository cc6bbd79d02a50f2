"""The commands that run many specs: `lasar-kit suite` and `lasar-kit study`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lasar_kit.cli.plugins import Plugin, discovered, warn
from lasar_kit.cli.results import Format, FormatOption
from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.report.formats import Format as TableFormat
    from lasar_kit.run.cells import Cell
    from lasar_kit.run.controls import Rows
    from lasar_kit.spec.suite import LoadedSuite

Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the spec.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be run.")]


def suite(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A suite in YAML, or preset:paper/NAME.")],
    scale: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of the suite's scales, such as paper.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(metavar="SPEC", help="The spec that rows change; the suite's when absent.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SOURCE", help="A data set: a folder of LC-Rec's layout, or {use: …, option: …}."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds of each run; as the suite says when absent.")
    ] = None,
    set_: Set = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; runs/NAME when absent.")
    ] = None,
    format: FormatOption = Format.text,
    plugin: Plugin = None,
    dry_run: DryRun = False,
) -> None:
    """Run a table: specs, or changes of one, on data sets, under seeds; and print what came of it."""
    from lasar_kit.spec.suite import load_suite

    catalogue = _begin("suite", plugin)
    loaded = load_suite(file, scale, spec, data or ())
    folder = output or Path("runs") / loaded.suite.name
    numbers = range(seeds or loaded.suite.seeds)
    cells = _planned(loaded, folder, numbers, set_ or [], catalogue)
    _caution(cells)
    if dry_run:
        _tell(cells, catalogue)
        return
    _run(cells, catalogue)
    _write(loaded, cells, folder, catalogue, format)


def _begin(command: str, plugin: list[Path] | None) -> Catalogue:
    """The catalogue of a command that runs many specs, one after another."""
    from lasar_kit.run import launch

    if launch.inside():
        raise UserError(f"{command}: runs on one process; it is its runs that may be started on several")
    catalogue = discovered(plugin)
    catalogue.load_hooks()
    warn(catalogue)
    return catalogue


def _planned(
    loaded: LoadedSuite, folder: Path, seeds: range, overrides: list[str], catalogue: Catalogue
) -> list[list[Cell]]:
    from lasar_kit.run.cells import Cell, check_cells

    cells = [
        Cell.of(one.at.title, folder / one.folder, seeds, one.spec, [*one.changes, *overrides], catalogue)
        for one in loaded.planned()
    ]
    places = zip(loaded.places(), cells, strict=True)
    loaded.check_stages({at: first.loaded.spec.stages for at, (first, *_) in places})
    check_cells(cells)
    return cells


def _caution(cells: list[list[Cell]]) -> None:
    """Tell what in the specs is hardly meant, before the first run."""
    from lasar_kit.run.cells import cautions_of

    for line in cautions_of(cells):
        print(f"warning: {line}", file=sys.stderr)


def _tell(cells: list[list[Cell]], catalogue: Catalogue) -> None:
    from lasar_kit.run.suite import tell_cells

    tell_cells(cells, catalogue)


def _run(cells: list[list[Cell]], catalogue: Catalogue) -> None:
    from lasar_kit.process import signals
    from lasar_kit.run.suite import run_cells

    with signals.heeded():
        run_cells(cells, catalogue)


def _write(
    loaded: LoadedSuite, cells: list[list[Cell]], folder: Path, catalogue: Catalogue, format: Format
) -> None:
    """Time models where that is asked for; then write and print tables and figures."""
    from lasar_kit.process.screen import Screen, quiet_libraries
    from lasar_kit.report.formats import show
    from lasar_kit.report.suite import Ran, as_text, write
    from lasar_kit.serve.cost import milliseconds_a_user

    quiet_libraries()
    runs = {
        one.at: tuple(cell.folder for cell in of) for one, of in zip(loaded.planned(), cells, strict=True)
    }
    ran = Ran(
        loaded.suite,
        runs,
        lambda models, batch_size, users: milliseconds_a_user(models, catalogue, batch_size, users),
    )
    grids, files = write(ran, folder)
    chosen: TableFormat = format.value
    if chosen == "text":  # which no terminal is to cut
        print(as_text(grids(chosen)), end="")
    else:
        show(grids(chosen), chosen)
    Screen().print(f"tables and figures in {folder}: {', '.join(files)}")


def study(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A run in YAML that thinks.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each row, from the spec's own on.")] = 3,
    max_depth: Annotated[
        int | None,
        typer.Option(min=0, help="Largest fixed and forced depth; all that the policy has when absent."),
    ] = None,
    set_: Set = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; runs/study-SPEC when absent.")
    ] = None,
    plugin: Plugin = None,
    dry_run: DryRun = False,
) -> None:
    """Does thinking help? The spec against no thoughts, pauses, noise and fixed depths, in one table."""
    from lasar_kit.run.controls import rows_of

    catalogue = _begin("study", plugin)
    overrides = set_ or []
    rows = rows_of(spec, overrides, catalogue, max_depth)
    folder = output or Path("runs") / f"study-{spec.stem}"
    cells = _controls(rows, spec, overrides, folder, seeds, catalogue)
    _caution(cells)
    if dry_run:
        _tell(cells, catalogue)
        for name, reason in rows.skipped.items():
            print(f"not run: {name}: {reason}")
        return
    _run(cells, catalogue)
    _report(rows, cells, folder, catalogue)


def _controls(
    rows: Rows, spec: Path, overrides: list[str], folder: Path, seeds: int, catalogue: Catalogue
) -> list[list[Cell]]:
    """A study's runs: it is a suite whose rows are the spec and its controls."""
    from lasar_kit.run.cells import Cell, check_cells
    from lasar_kit.spec import load_spec

    first = load_spec(spec, overrides, catalogue).spec.seed
    numbers = range(first, first + seeds)
    cells = [
        Cell.of(row.name, folder / row.folder, numbers, spec, [*overrides, *row.changes], catalogue)
        for row in rows.rows
    ]
    check_cells(cells)
    return cells


def _report(rows: Rows, cells: list[list[Cell]], folder: Path, catalogue: Catalogue) -> None:
    """Time the models, then show and write what was found."""
    from lasar_kit.process.screen import Screen, quiet_libraries
    from lasar_kit.report.study import Control, Study
    from lasar_kit.run.controls import AT_DEPTH
    from lasar_kit.serve.cost import milliseconds_a_user

    screen = Screen()
    quiet_libraries()
    screen.print("\ntiming the models")
    cost = milliseconds_a_user({row[0].name: row[0].folder for row in cells}, catalogue)
    ran = [
        Control(row.name, row.kind, tuple(cell.folder for cell in of))
        for row, of in zip(rows.rows, cells, strict=True)
    ]
    stages = cells[0][0].loaded.spec.stages
    depths = {depth: AT_DEPTH.format(depth) for depth in rows.depths if AT_DEPTH.format(depth) in stages}
    out = bool(stages[rows.stage].leaves_out_history)
    found = Study.of(ran, rows.stage, depths, rows.skipped, cost, out)
    found.show(screen)
    found.write(folder)
    screen.print(f"numbers and figure in {folder}")
