"""The command `lasar-kit serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lasar_kit.cli.plugins import Plugin
from lasar_kit.errors import UserError


def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with the model in memory.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Histories that are answered in one pass.")] = 32,
    wait_ms: Annotated[
        float, typer.Option(min=0, help="Milliseconds that the first of a batch waits for others.")
    ] = 3.0,
    queue: Annotated[int, typer.Option(min=1, help="Histories that may wait; others get a 503.")] = 1024,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Let nobody add items or withdraw them over HTTP.")
    ] = False,
    plugin: Plugin = None,
) -> None:
    """Serve the model of a run over HTTP."""
    from lasar_kit.store.run_folder import check_run

    check_run(run)
    try:
        from lasar_kit.serve.http import app, server
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs {error.name}: pip install 'lasar-kit[serve]'") from None
    options = app.Options(batch, wait_ms / 1000, queue, editable=not read_only)
    server.serve(run, host, port, workers, options, plugin or ())
