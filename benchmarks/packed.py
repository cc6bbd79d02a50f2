"""What packed weights give a model that only answers, on this processor.

    python benchmarks/packed.py             measure, print, write benchmarks/results/packed.json
    python benchmarks/packed.py --table     print the table of docs/speed.md from that file

The linear maps of all layers, of so many rows, by their own modules and packed; and a beam search, with and
without thoughts, as it is and with `LASAR_KIT_MATMUL=torch`, which leaves weights as they are. Both by turns
in one process, figures are medians. Sizes are those of benchmarks/latent.py.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import latent
import torch
import transformers
from decode import seconds
from report import Result, Shown, machine, machine_text, main

from lasar_kit.process.matmul import VARIABLE
from lasar_plugins.backbone.qwen3.packed import maps_of

RESULT = Path(__file__).parent / "results" / "packed.json"
WAYS = {"own": "torch", "packed": ""}
"""What the environment says, by way."""
ROWS = (1, 8, 64, 400)


def passes(model: Any, rows: int) -> Callable[[], None]:
    """All linear maps of one pass over so many rows, on inputs of their own."""
    x = torch.randn(rows, model.config.hidden_size)
    mixed = torch.randn(rows, model.config.num_attention_heads * model.config.head_dim)
    every = cache(lambda kernels: maps_of(model))  # found once a search, which makes many passes

    def run() -> None:
        for maps in every(os.environ[VARIABLE]):
            maps.heads(x)
            maps.out(mixed)
            maps.mlp(x)

    return run


def works(args: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """What is timed, by its name."""
    bench, ids = latent.Bench(args.items, args.width), latent.prompts(args.batch, args.prompt)
    model = bench.backbone.model.model
    return {
        **{f"the maps of a pass, {rows} rows": passes(model, rows) for rows in ROWS},
        f"beam search of {args.batch} users, prompts included": partial(bench.none, ids),
        "the same behind 2.5 thoughts": partial(bench.latent, ids, latent.MIXED),
    }


@torch.inference_mode()
def timed(work: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median seconds either way."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats + 1):
        for way, kernels in WAYS.items():
            os.environ[VARIABLE] = kernels
            found[way].append(seconds(work))
    return {way: median(times[1:]) for way, times in found.items()}


def measure(args: argparse.Namespace) -> Result:
    """All of it, with what it was measured on."""
    transformers.utils.logging.set_verbosity_error()
    before = os.environ.get(VARIABLE, "")
    try:
        taken = {name: timed(work, args.repeats) for name, work in works(args).items()}
    finally:
        os.environ[VARIABLE] = before
    return {**machine(), "repeats": args.repeats, "seconds": taken}


def text(result: Result) -> str:
    """Return the line above the table."""
    return f"Nine layers, 35 MB of weights; {machine_text(result)}."


def tables(result: Result) -> list[Shown]:
    """The one table."""
    rows = [
        [name, *(f"{1000 * own:.3g}" for own in taken.values()), f"{taken['own'] / taken['packed']:.2f}"]
        for name, taken in result["seconds"].items()
    ]
    return [(["work", "torch, ms", "packed, ms", "times as fast"], rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens")
    parser.add_argument("--width", type=int, default=50, help="beams")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=15)
    main(parser, RESULT, measure, text, tables)
