"""The commands `lasar-kit presets …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lasar_kit.cli.plugins import OPTIONS
from lasar_kit.errors import UserError
from lasar_kit.spec import presets as kept

presets = typer.Typer(help="Specs that come with the kit: run or extend them as preset:NAME.", **OPTIONS)


@presets.command("list")
def presets_list() -> None:
    """List them with what they are."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lasar_kit.process.screen import Screen

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("preset", no_wrap=True)
    table.add_column("")
    for name, path in kept.presets().items():
        table.add_row(name, Text(kept.about(path)))
    Screen().print(table)


@presets.command("copy")
def presets_copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As of `presets list`.")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write; NAME.yaml here when absent.")
    ] = None,
) -> None:
    """Copy one, to be changed: relative paths in it then start at the copy."""
    path = kept.preset(name.removeprefix(kept.PREFIX))
    file = output or Path(path.name)
    if file.exists():
        raise UserError(f"{file}: is there already; give --output")
    try:
        file.write_text(kept.copied(path), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from None
    print(file)
