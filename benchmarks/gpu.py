"""All that is to be known of one GPU in under ten minutes: is it right, and how fast is it.

    python benchmarks/gpu.py --out gpu.jsonl                  all parts, eight minutes
    python benchmarks/gpu.py --out gpu.jsonl --parts a,c      some of them
    python benchmarks/gpu.py --table gpu.jsonl                what a file holds, as tables
    python benchmarks/gpu.py --smoke                          tiny, on the CPU: does the script itself work

It needs the installed kit and torch, no network and no files. Each part has a share of the time, and ends
when that is spent; each number is written as it comes, a line of JSON, so that a cut leaves the rest. Parts
run in processes of their own: one that raises, hangs or takes the device down is told, and the next begins.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARTS = {
    "a": ("correct", "GPU against CPU, backbone by backbone and stage by stage", 0.13),
    "b": ("runs", "whole runs by the command line, cut off and resumed", 0.22),
    "c": ("train", "SFT at 0.6 B: tokens a second, share of the peak", 0.12),
    "d": ("decode", "users a second against generate", 0.14),
    "e": ("think", "what thoughts cost a user, and written text", 0.08),
    "f": ("rl", "a step of RL", 0.08),
    "g": ("profile", "kernels, synchronisations, memory", 0.08),
    "h": ("laws", "the contracts of built-in components, tried on the GPU", 0.15),
}
"""Of each part its module in `gpu_parts`, what it does, and its share of the time."""

GRACE = 1.25
"""How far beyond its time a part may go before its process is killed, beside the seconds to start one."""
START = 45.0


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a result; one that a cut left unfinished is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def write(path: Path, **line: Any) -> None:
    """Add a line, and say it."""
    text = json.dumps(line)
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    print(text, flush=True)


def shares(parts: list[str], seconds: float) -> dict[str, float]:
    """The seconds of each part."""
    whole = sum(PARTS[part][2] for part in parts)
    return {part: seconds * PARTS[part][2] / whole for part in parts}


def drive(args: argparse.Namespace, parts: list[str]) -> bool:
    """One process a part, each with what time it has; whether all of them came to their end."""
    began, well = time.perf_counter(), True
    for place, part in enumerate(parts):
        left = 60 * args.minutes - (time.perf_counter() - began)
        seconds = shares(parts[place:], max(left, 0.0))[part]
        command = [sys.executable, __file__, "--part", part, "--seconds", f"{seconds:.1f}"]
        command += ["--out", str(args.out), *(["--smoke"] if args.smoke else [])]
        # cuBLAS reads it once; runs that are to repeat bit by bit need it.
        environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TOKENIZERS_PARALLELISM": "false"}
        started = time.perf_counter()
        try:
            code = subprocess.run(command, env=environment, timeout=GRACE * seconds + START).returncode
            told = {} if code == 0 else {"error": f"its process ended with code {code}"}
        except subprocess.TimeoutExpired:
            told = {"error": f"killed after {time.perf_counter() - started:.0f} s"}
        well = well and not told
        took = round(time.perf_counter() - started, 1)
        write(args.out, part=part, name="end", given=round(seconds, 1), seconds=took, **told)
    return well


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="lines of JSON, added to")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, in which order")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the tables of a file")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        from gpu_parts.tables import text

        print(text(read(args.table), args.parts.replace(",", "")))
        return 0
    if args.part:
        from gpu_parts.common import run

        return run(args.part, PARTS[args.part][0], args.out, args.seconds, args.smoke)
    parts = args.parts.split(",")
    if wrong := [part for part in parts if part not in PARTS]:
        parser.error(f"no part {wrong[0]!r}; there are {', '.join(PARTS)}")
    return 0 if drive(args, parts) else 1


if __name__ == "__main__":
    sys.exit(main())
