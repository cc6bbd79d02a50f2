"""Runs lasar-kit on bad input by class: does it ever end in a traceback, hang, or leave partial output?

python benchmarks/fuzz.py                 # all classes; writes benchmarks/results/fuzz.json
python benchmarks/fuzz.py --seed 1        # other cases
python benchmarks/fuzz.py --table         # prints the table that docs/errors.md shows

Each case is one command line in an empty folder. It is taken well if it ends with exit code 0 or 2, and with
the one that its class asks for where that is certain; tells of a fault that was planted in data which can be
read all the same, and of none where there is none; prints whole lines, each of which can be shown; changes
nothing outside `--output`; and leaves nothing there that is not whole.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bad_input import commands, files, links, meaning, models, specs, whole
from bad_input.harness import Case, timed
from bad_input.options import Options
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from report import Result, Shown, machine, machine_text, main

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
Strategies = dict[str, list[tuple[st.SearchStrategy[Case], int]]]


def strategies(run: dict[str, bytes]) -> Strategies:
    """Where cases come from, by area, each with its share of them."""
    options = Options.discover()
    of_options = [
        specs.wrong_types,
        specs.out_of_range,
        specs.unknown_names,
        specs.unknown_options,
        specs.left_out,
    ]
    return {
        "options": [*((make(options), 12) for make in of_options), (specs.missing_files(options), 6)],
        "spec files": [
            (specs.names_that_lead_out(), 5),
            (commands.spec_files(), 8),
            (commands.large_spec(), 1),
        ],
        "data files": [
            *((files.wrong_bytes(label), 5) for label in files.BYTE_FAULTS),
            *((files.wrong_rows(label), 5) for label in files.ROW_FAULTS),
        ],
        "other files": [
            (files.wrong_embeddings(), 10),
            (files.wrong_index(), 10),
            (files.few_items(), 4),
            (commands.wrong_texts(run), 6),
        ],
        "model folders": [(models.wrong_models(label), 3) for label in models.FAULTS],
        "whole runs": [
            (whole.sizes(), 5),
            (whole.parts(), 5),
            (whole.numbers(), 5),
            (whole.odd_data(), 4),
            (whole.odd_reasoning(), 4),
        ],
        "commands": [(commands.overrides(), 8), (commands.arguments(), 8), (commands.damaged_runs(run), 12)],
        "links": [(links.links(), 10)],
        "meaning": [(meaning.planted(label), 6) for label in (*meaning.FAULTS, "clean")],
    }


def drawn(strategy: st.SearchStrategy[Case], count: int, start: int) -> list[Case]:
    """So many cases, the same for the same start."""
    found: list[Case] = []

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def take(case: Case) -> None:
        found.append(case)

    take()
    return found


def cases(scale: int, start: int, folder: Path) -> Iterator[tuple[str, Case]]:
    """All cases, by area; first one wrong value of each type for every option that there is."""
    for case in specs.sweep(Options.discover()):
        yield "all options", case
    for area, found in strategies(commands.finished_run(folder / "finished")).items():
        for strategy, share in found:
            for case in drawn(strategy, scale * share, start):
                yield area, case


def measure(args: argparse.Namespace) -> Result:
    warnings.simplefilter("ignore")
    counts: dict[str, dict[str, Any]] = {}
    troubles: list[dict[str, str]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for number, (area, case) in enumerate(cases(args.scale, args.seed, Path(scratch))):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            trouble, seconds = timed(case, folder)
            row = counts.setdefault(
                f"{area} / {case.group} / {case.label}",
                {"cases": 0, "refused": 0, "slowest": 0.0, "trouble": 0},
            )
            row["cases"] += 1
            row["refused"] += case.expect == "refused"
            row["slowest"] = max(row["slowest"], round(seconds, 1))
            if trouble:
                row["trouble"] += 1
                troubles.append({"class": case.label, "note": case.note, "trouble": trouble})
                print(case, trouble)
    return {
        **machine(),
        "seed": args.seed,
        "cases": sum(row["cases"] for row in counts.values()),
        "options": len(Options.discover().found),
        "seconds": round(time.monotonic() - started),
        "classes": counts,
        "troubles": troubles,
    }


def text(result: Result) -> str:
    return (
        f"{result['cases']:,} cases in {len(result['classes'])} classes, {result['options']} options, seed "
        f"{result['seed']}; {len(result['troubles'])} ended in a traceback, a hang, partial output or an "
        f"unclear line ({machine_text(result)})."
    )


def tables(result: Result) -> list[Shown]:
    """Cases by class."""
    rows = [
        (*key.split(" / ")[1:], f"{row['cases']:,}", f"{row['refused']:,}", str(row["trouble"]))
        for key, row in result["classes"].items()
    ]
    header = ("input", "class", "cases", "certainly wrong", "traceback, hang or partial output")
    return [(header, rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=int, default=4, help="times the cases of each class but the first")
    main(parser, RESULTS, measure, text, tables)
