"""The command `lasar-kit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lasar_kit.cli.plugins import Plugin, discovered


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write, empty or new.")],
    users: Annotated[
        int, typer.Option(min=0, help="Test users that tell what a model loses by not thinking; 0 for none.")
    ] = 200,
    program: Annotated[
        bool, typer.Option("--program", help="Add the model as a program of torch.export.")
    ] = False,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="The catalogue of training, whatever came or went since.")
    ] = False,
    plugin: Plugin = None,
) -> None:
    """Write the model of a run for other engines: weights, tokenizer, SIDs, trie, model card."""
    from lasar_kit.store.run_folder import check_run

    check_run(run)
    catalogue = discovered(plugin)
    from lasar_kit.serve.export.folder import export as write

    write(run, to, catalogue, users, program, as_trained)
    print(f"{to}: written; its README.md tells what is in it")
