"""The commands `lasar-kit items …`: what came to a run's catalogue since it was trained, and what went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lasar_kit.cli.plugins import OPTIONS, Plugin, discovered

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

items = typer.Typer(help="Add items to the catalogue of a run, and withdraw them.", **OPTIONS)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; it may be served meanwhile.")]


def _begin(run: Path, plugin: list[Path] | None) -> Catalogue:
    """The catalogue, once it is sure that the run is one."""
    from lasar_kit.store.run_folder import check_run

    check_run(run)
    return discovered(plugin)


@items.command("add")
def add(
    run: Run,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or TSV with the columns of the run's item table.")
    ],
    plugin: Plugin = None,
) -> None:
    """Give items of a file semantic IDs and add them: all, or, where any cannot be added, none."""
    catalogue = _begin(run, plugin)
    from lasar_kit.serve.live import commands

    commands.add(run, file, catalogue)


@items.command("withdraw")
def withdraw(
    run: Run,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Raw ids of items.")],
    plugin: Plugin = None,
) -> None:
    """List items no more; they keep their semantic IDs, and come back when they are added again."""
    catalogue = _begin(run, plugin)
    from lasar_kit.serve.live import commands

    commands.withdraw(run, ids, catalogue)


@items.command("list")
def list_(
    run: Run,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each item.")] = False,
    plugin: Plugin = None,
) -> None:
    """Print the items that were added, with their semantic IDs, and those that were withdrawn."""
    catalogue = _begin(run, plugin)
    from lasar_kit.serve.live import commands

    commands.show(run, catalogue, as_json)
