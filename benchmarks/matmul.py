"""Products of float32 matrices on a CPU by torch's own kernels and by oneDNN's, and the work made of them.

    python benchmarks/matmul.py             measure, print, write benchmarks/results/matmul.json
    python benchmarks/matmul.py --table     print the table of docs/speed.md from that file

What `LASAR_KIT_MATMUL=onednn` gives on this processor. Each work is done by both in turns in one process,
figures are medians. Sizes are those of benchmarks/latent.py, benchmarks/sft.py and benchmarks/rl_step.py.
"""

from __future__ import annotations

import argparse
import re
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import latent
import numpy as np
import rl_step
import sft
import torch
import transformers
from decode import CODES, LEVELS, seconds
from report import Result, Shown, machine, machine_text, main

from lasar_kit.data.sids import Sids
from lasar_kit.process.matmul import take_onednn, take_torch

RESULT = Path(__file__).parent / "results" / "matmul.json"
KERNELS = {"torch": take_torch, "onednn": take_onednn}
SHAPES = ((2048, 2048, 2048), (1024, 256, 1024), (2048, 64, 256), (8, 256, 1024))
"""Sizes of products: a large one, and those of a prompt's reading, a small model's update and a thought."""


def works(args: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """What is timed, by its name."""
    products = {
        f"a product of {m:,} x {k:,} and {k:,} x {n:,}": partial(torch.mm, torch.ones(m, k), torch.ones(k, n))
        for m, k, n in SHAPES
    }
    bench, ids = latent.Bench(args.items, args.width), latent.prompts(args.batch, args.prompt)
    generator = torch.Generator().manual_seed(1)
    sids = Sids(torch.randint(0, CODES, (args.items, LEVELS), generator=generator), (CODES,) * LEVELS)
    packed = sft.Training("packed", np.random.default_rng(2).integers(0, args.items, (args.batch, 32)), sids)
    step = rl_step.Bench(Namespace(items=args.items, batch=args.batch, history=32, candidates=8))
    none, thinking = partial(bench.none, ids), partial(bench.latent, ids, latent.MIXED)
    return {
        **products,
        f"beam search of {args.batch} users, prompts included": torch.inference_mode()(none),
        "the same behind 2.5 thoughts": torch.inference_mode()(thinking),
        f"SFT, packed, {args.batch} users of 32 items": packed.update,
        f"RL, a rollout of {args.batch} prompts with 8 candidates each": partial(step.rollout, "shared"),
        "RL, its update": partial(step.update, "shared"),
    }


def measure(args: argparse.Namespace) -> Result:
    """All of it, with what it was measured on."""
    transformers.utils.logging.set_verbosity_error()
    taken: dict[str, dict[str, float]] = {}
    for name, work in works(args).items():
        found: dict[str, list[float]] = {kernels: [] for kernels in KERNELS}
        for _ in range(args.repeats + 1):
            for kernels, choose in KERNELS.items():
                choose()
                found[kernels].append(seconds(work))
        taken[name] = {kernels: median(times[1:]) for kernels, times in found.items()}
    take_torch()
    return {
        **machine(),
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "repeats": args.repeats,
        "seconds": taken,
    }


def processor() -> str:
    """What the system calls it."""
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown"


def text(result: Result) -> str:
    """Return the line above the table."""
    return f"{result['processor']}, {result['capability']}, {machine_text(result)}."


def tables(result: Result) -> list[Shown]:
    """The one table."""
    rows = [
        [name, *(_milliseconds(own) for own in taken.values()), f"{taken['torch'] / taken['onednn']:.2f}"]
        for name, taken in result["seconds"].items()
    ]
    return [(["work", "torch, ms", "oneDNN, ms", "times as fast"], rows)]


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens")
    parser.add_argument("--width", type=int, default=50, help="beams")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=7)
    main(parser, RESULT, measure, text, tables)
