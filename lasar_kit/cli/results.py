"""The commands that show what finished runs found: `explain`, `report` and `compare`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lasar_kit.cli.histories import Histories, History
from lasar_kit.cli.histories import histories as read
from lasar_kit.cli.plugins import Plugin, discovered

if TYPE_CHECKING:
    from lasar_kit.serve.explain import Explained


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    history: History = None,
    histories: Histories = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items after each thought.")] = 3,
    depth: Annotated[
        int | None, typer.Option(min=0, help="Read so many thoughts; as many as the model takes when absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each history.")] = False,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the first one's: .svg, .pdf or .png.")
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Show what the model of a run thinks: how long, and what it would answer after each thought."""
    from lasar_kit.store.run_folder import check_run

    asked = read(history, histories, "explain")
    check_run(run)
    catalogue = discovered(plugin)
    from lasar_kit.serve.explain import explain as show

    show(run, asked, k, catalogue, depth, as_json, figure)


class Format(StrEnum):
    """How tables are printed."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


FormatOption = Annotated[Format, typer.Option("--format", help="How tables are printed.")]


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs.")],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with figures instead.")
    ] = None,
    format: FormatOption = Format.text,
    thoughts: Annotated[
        int, typer.Option(min=0, help="Users whose thoughts the page shows, where a model thinks.")
    ] = 3,
    plugin: Plugin = None,
) -> None:
    """Print the tables that runs ended with, or write a page about them: tables, curves, figures."""
    if html is not None:
        from lasar_kit.report.html import write_page

        catalogue = discovered(plugin)

        def thoughts_of(run: Path, histories: Sequence[list[str]]) -> Sequence[Explained]:
            from lasar_kit.serve.explain import explained

            return explained(run, histories, catalogue)

        write_page(runs, html, thoughts_of, thoughts)
        print(f"page in {html}, its figures in {html.with_name(html.stem)}_figures")
        return
    from lasar_kit.report.table import report as show

    show(runs, format.value)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs.")],
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Evaluate stage; the last when absent.")
    ] = None,
    format: FormatOption = Format.text,
) -> None:
    """Compare runs, or the models of one run, user by user: metrics, changes, p-values."""
    from lasar_kit.report.compare import compare as show

    show(runs, stage, format.value)
