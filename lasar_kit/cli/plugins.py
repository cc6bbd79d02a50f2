"""The commands `lasar-kit plugins …`, and how every command finds components."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

OPTIONS: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False}
"""Of every Typer application here."""

Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="PATH", help="A plugin: the folder of its registry.toml, or one file."),
]
plugins = typer.Typer(help="What components there are, and their options.", **OPTIONS)


def discovered(plugin: list[Path] | None) -> Catalogue:
    """All components: built-in, installed, and of the given paths."""
    from lasar_kit.catalogue import Catalogue

    return Catalogue.discover(plugin or ())


def warn(catalogue: Catalogue) -> None:
    """Tell what of a plugin cannot be used, by one process; other plugins are no worse for it."""
    if os.environ.get("RANK", "0") != "0":
        return
    for origin, lines in catalogue.problems.items():
        for line in lines:
            print(f"plugin {origin}: {line}", file=sys.stderr)


@plugins.command("list")
def plugins_list(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Only this kind.")] = None,
    plugin: Plugin = None,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False,
) -> None:
    """List components by kind."""
    from lasar_kit.cli import listing

    catalogue = discovered(plugin)
    warn(catalogue)
    print(listing.as_json(catalogue, kind) if as_json else listing.as_text(catalogue, kind))


@plugins.command("show")
def plugins_show(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    plugin: Plugin = None,
) -> None:
    """Show a component: where it comes from, its options, and an example."""
    from lasar_kit.cli import showing

    print(showing.describe(discovered(plugin), kind, name))


@plugins.command("check")
def plugins_check(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    plugin: Plugin = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one of its options.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Try it there: cuda tells of tensors made on the CPU.")
    ] = "cpu",
) -> None:
    """Hold a component against the laws of its kind; exit 1 if it breaks one."""
    from lasar_kit.spec.load import set_options
    from lasar_kit.testing import check_component
    from lasar_kit.testing.command import prepare

    catalogue = discovered(plugin)
    options = set_options(set_ or (), kind, name, catalogue)
    prepare(device)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", folder)  # else it leaves one in the cwd
        results = check_component(kind, name, options, catalogue, device)
    from lasar_kit.testing.table import as_text

    print(as_text(f"{kind} {name}", results))
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@plugins.command("new")
def plugins_new(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the component and of its package.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; NAME with hyphens when absent.")
    ] = None,
) -> None:
    """Write a package around a new component: options, an implementation that works, a contract test."""
    from lasar_kit.scaffold import write_package

    folder = output or Path(name.replace("_", "-"))
    for path in write_package(kind, name, folder):
        print(path)
    print(f"next: python -m pip install -e '{folder}[test]' && python -m pytest {folder}")
