"""How a benchmark is started, and how its results are shown and stored."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table

Result = dict[str, Any]
Shown = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Header and rows of a table."""


def machine() -> Result:
    """Name the versions and threads that results were measured with."""
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"versions": {"python": platform.python_version(), **versions}, "threads": torch.get_num_threads()}


def machine_text(result: Result) -> str:
    """The same in words."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"{result['threads']} CPU threads; {versions}"


def markdown(text: str, tables: Sequence[Shown]) -> str:
    """A paragraph, and tables whose first columns are labels."""
    lines = [text]
    for header, rows in tables:
        lines += ["", "| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def main(
    parser: argparse.ArgumentParser,
    stored: Path,
    measure: Callable[[argparse.Namespace], Result],
    text: Callable[[Result], str],
    tables: Callable[[Result], Sequence[Shown]],
) -> None:
    """Measure, print and store; with `--table` print what is stored, for the documents."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--output", type=Path, default=stored)
    parser.add_argument("--table", action="store_true", help="only print the markdown of --output")
    args = parser.parse_args()
    if args.table:
        result = json.loads(args.output.read_text())
        print(markdown(text(result), tables(result)))
        return
    result = measure(args)
    for header, rows in tables(result):
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    print(text(result))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")
