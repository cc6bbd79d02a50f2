"""Where the time of an update of supervised fine-tuning goes, before histories are packed and after.

    python benchmarks/profile_update.py          measure, print, write benchmarks/results/profile_update.json
    python benchmarks/profile_update.py --table  print the table of docs/sft.md from that file
    python benchmarks/profile_update.py --draw   draw docs/update.svg from that file

The updates are those of benchmarks/sft.py. One of each is watched by torch's profiler, behind some that are
timed; of each operation its own time counts, without those that it calls. A group's milliseconds are its
share of that, of an update that nobody watches.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
import torch
from decode import CODES, LEVELS, seconds
from report import Result, Shown, machine, machine_text, main
from sft import WAYS, Training
from torch.profiler import ProfilerActivity, profile

from lasar_kit.data.sids import Sids
from lasar_kit.report.figures.canvas import style

RESULT = Path(__file__).parent / "results" / "profile_update.json"
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "update.svg"
PROFILED = ("sliding", "packed", "sliding thinking", "packed thinking")
KINDS: dict[str, tuple[str, ...]] = {
    "products": ("mm", "addmm", "bmm", "baddbmm", "dot"),
    "attention": ("scaled_dot_product", "flash_attention"),
    "optimiser": ("foreach", "fused", "lerp", "addcdiv", "addcmul", "linalg_vector_norm"),
    "copies": (
        "copy",
        "cat",
        "clone",
        "index",
        "gather",
        "scatter",
        "embedding",
        "slice",
        "select",
        "fill",
        "zero",
    ),
    "the rest": ("",),
}
"""Operations by the beginnings of their names; the rest is elementwise, most of it."""
COLOURS = ("#1b3a57", "#3f7cac", "#c9a227", "#b5651d", "#95a3a4")


def kind(operation: str) -> str:
    """The group that an operation of torch is counted in."""
    name = operation.removeprefix("aten::").lstrip("_")
    return next(group for group, beginnings in KINDS.items() if name.startswith(beginnings))


def shares(training: Training) -> dict[str, float]:
    """Of one update, what each group has of all time in operations."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        training.update()
    taken: Counter[str] = Counter()
    for event in found.key_averages():
        if event.key.startswith("aten::"):
            taken[kind(event.key)] += event.self_cpu_time_total
    whole = sum(taken.values())
    return {group: taken[group] / whole for group in KINDS}


def measure(args: argparse.Namespace) -> Result:
    """All ways, by turns."""
    codes = torch.randint(0, CODES, (args.items, LEVELS), generator=torch.Generator().manual_seed(1))
    histories = np.random.default_rng(2).integers(0, args.items, (args.users, args.history))
    sids = Sids(codes, (CODES,) * LEVELS)
    trainings = {way: Training(way, histories, sids) for way in PROFILED}
    taken: dict[str, list[float]] = {way: [] for way in PROFILED}
    for _ in range(args.repeats + 2):
        for way, training in trainings.items():
            taken[way].append(seconds(training.update))
    return {
        **machine(),
        "answers": trainings["packed"].answers,
        "seconds": {way: median(found[2:]) for way, found in taken.items()},
        "shares": {way: shares(training) for way, training in trainings.items()},
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    return f"An update of {result['answers']} answers; {machine_text(result)}."


def tables(result: Result) -> list[Shown]:
    """Milliseconds an answer, by group."""
    header = ("ms an answer", "all", *KINDS)
    rows = [
        [WAYS[way], *(f"{1000 * taken / result['answers'] * share:.2f}" for share in (1.0, *own.values()))]
        for (way, taken), own in zip(result["seconds"].items(), result["shares"].values(), strict=True)
    ]
    return [(header, rows)]


def draw(result: Result, path: Path) -> None:
    """Write the figure: a bar a way, of one part a group."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 2.6))
        axes = figure.subplots()
        for place, way in enumerate(PROFILED):
            each, start = 1000 * result["seconds"][way] / result["answers"], 0.0
            for (group, share), colour in zip(result["shares"][way].items(), COLOURS, strict=True):
                label = group if place == 0 else None
                axes.barh(place, each * share, left=start, color=colour, label=label)
                start += each * share
            axes.annotate(f" {each:.1f} ms", (start, place), va="center", fontsize=8)
        axes.set_yticks(range(len(PROFILED)), [WAYS[way] for way in PROFILED])
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("milliseconds an answer, forward, backward and update")
        axes.legend(
            ncols=len(KINDS), loc="lower center", bbox_to_anchor=(0.4, 1.0), fontsize=8, frameon=False
        )
        figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def options() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2)
    parser.add_argument("--history", type=int, default=32)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=2)
    return parser


if __name__ == "__main__":
    if sys.argv[1:] == ["--draw"]:
        draw(json.loads(RESULT.read_text()), FIGURE)
    else:
        torch.manual_seed(0)
        main(options(), RESULT, measure, text, tables)
