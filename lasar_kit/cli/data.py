"""The commands `lasar-kit data …`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lasar_kit.cli.plugins import OPTIONS, Plugin, discovered, warn
from lasar_kit.errors import UserError

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import ComponentConfig

data = typer.Typer(help="What a data set holds.", **OPTIONS)


@data.callback()
def _commands() -> None: ...


@data.command("describe")
def describe(
    spec: Annotated[Path | None, typer.Argument(metavar="SPEC", help="A run whose data set it is.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Or a data source, without a spec.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value: of the spec, or of the source."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, like dataset.json of a run.")] = False,
    plugin: Plugin = None,
) -> None:
    """Load a data set and tell of it: sizes, what filters left out, copies, ties, texts, what to doubt."""
    if (spec is None) == (source is None):
        raise UserError("data describe: give either a SPEC or --source NAME")
    catalogue = discovered(plugin)
    warn(catalogue)
    config, seed = _of_spec(spec, set_, catalogue) if spec else _of_source(source or "", set_, catalogue)
    from lasar_kit.core.values import Env
    from lasar_kit.data import described
    from lasar_kit.process.screen import Screen

    dataset = catalogue.build("dataset", config, Env(seed=seed)).load()
    facts = described.described(dataset, config)
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    screen = Screen()
    screen.print(described.table(facts, f"data set {config.use}"))
    described.show_warnings(facts, screen)


def _of_spec(spec: Path, set_: list[str] | None, catalogue: Catalogue) -> tuple[ComponentConfig, int]:
    from lasar_kit.spec import load_spec

    loaded = load_spec(spec, set_ or (), catalogue)
    return loaded.spec.dataset, loaded.spec.seed


def _of_source(source: str, set_: list[str] | None, catalogue: Catalogue) -> tuple[ComponentConfig, int]:
    from lasar_kit.spec.load import set_options
    from lasar_kit.testing.options import configured

    options = set_options(set_ or (), "dataset", source, catalogue)
    return configured("dataset", options, catalogue), 0
