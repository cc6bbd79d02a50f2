"""The command `lasar-kit recommend`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lasar_kit.cli.histories import Histories, History
from lasar_kit.cli.histories import histories as read
from lasar_kit.cli.plugins import Plugin, discovered
from lasar_kit.errors import UserError


def recommend(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    history: History = None,
    histories: Histories = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 10,
    exclude_history: Annotated[
        bool, typer.Option("--exclude-history", help="Leave out what a history holds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each history.")] = False,
    refuse: Annotated[
        bool,
        typer.Option("--refuse-unknown", help="Give no list at all where any history has an unknown id."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.parquet", help="Write the lists there, of any number of histories."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes of this machine that share in --output.")
    ] = 1,
    plugin: Plugin = None,
) -> None:
    """Recommend the next items after histories, with the model of a run."""
    from lasar_kit.store.run_folder import check_run

    if output is not None:
        if histories is None or history is not None or as_json:
            raise UserError("recommend: --output needs --histories FILE, and neither --history nor --json")
        check_run(run)
        options = (k, exclude_history, refuse)
        _write(context, processes, run, histories, output, options, plugin)
        return
    if processes > 1:
        raise UserError("recommend: --processes needs --output FILE.parquet")
    asked = read(history, histories)
    check_run(run)
    catalogue = discovered(plugin)
    from lasar_kit.serve.recommend import recommend as show

    show(run, asked, k, catalogue, exclude_history, as_json, refuse)


def _write(
    context: typer.Context,
    processes: int,
    run: Path,
    histories: Path,
    output: Path,
    options: tuple[int, bool, bool],
    plugin: Plugin,
) -> None:
    """Write lists as a file, on so many processes or as one of those that a launcher started."""
    from lasar_kit.process import signals
    from lasar_kit.run import launch

    with launch.joined(), signals.heeded():
        if processes > 1 and not launch.inside():
            raise typer.Exit(launch.launch(processes, context.obj))
        from lasar_kit.serve.many import Work, write

        lists, lines = write(Work(run, histories, output, *options), discovered(plugin))
        if os.environ.get("RANK", "0") == "0":
            print(f"{output}: {lists:,} lists behind {lines:,} histories")
