"""The evaluate stage of a run on one process and on several, a thread each: users a second, and equal lists.

    python benchmarks/scaling.py             measure, print, write benchmarks/results/scaling.json
    python benchmarks/scaling.py --table     print the table of docs/processes.md from that file

A model of the size of tutorials/beauty is trained a little on a generated shop. Copies of that run are then
evaluated by `lasar-kit run --processes`, the numbers of processes by turns. Seconds are what the stage takes,
from loading the model to its report, behind another stage that has everything imported; figures are medians.
Wants as many idle cores as processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from report import Result, Shown, machine, machine_text, main

RESULT = Path(__file__).parent / "results" / "scaling.json"
SPEC: dict[str, Any] = {
    "name": "scaling",
    "dataset": {"use": "demo"},
    "max_history": 20,
    "backbone": {"use": "qwen3", "text_vocabulary": 512},
    "prompt": "sid_only",
    "decoder": {"use": "trie_beam", "width": 50, "score": "trie"},
    "stages": {
        "tokenize": {"use": "tokenize", "quantizer": {"use": "rq_kmeans", "levels": 4}},
        "ground": {"use": "sft", "samples": "packed", "score": "trie", "eval_users": 50, "eval_width": 10},
        "warm": {"use": "evaluate", "max_users": 20},
        "evaluate": {"use": "evaluate"},
    },
}


def spec(args: argparse.Namespace) -> str:
    """The spec at the sizes that were asked for."""
    found = json.loads(json.dumps(SPEC))
    found["dataset"] |= {"users": args.users, "items": args.items}
    found["backbone"] |= {"hidden_size": args.width, "layers": args.layers}
    found["stages"]["tokenize"]["quantizer"]["codes"] = args.codes
    found["stages"]["ground"]["epochs"] = args.epochs
    return yaml.safe_dump(found, sort_keys=False)


def run(folder: Path, output: Path, *options: str) -> None:
    """A run of the spec in a folder, one thread a process."""
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "lasar_kit",
            "run",
            str(folder / "scaling.yaml"),
            "--output",
            str(output),
            *options,
        ],
        env=os.environ | threads,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def evaluated(folder: Path, trained: Path, processes: int) -> dict[str, Any]:
    """A copy of the trained run, evaluated: the stage's seconds, its users, and what tells lists apart."""
    place = folder / "copy" / "run"  # alone in its folder, so that no other run's evaluation is found
    shutil.rmtree(place.parent, ignore_errors=True)
    shutil.copytree(trained, place)
    run(folder, place, "--processes", str(processes))
    stage = place / "stages" / "evaluate"
    manifest = json.loads((stage / "artifact.json").read_text())
    lists = hashlib.sha256((stage / "predictions.jsonl").read_bytes()).hexdigest()
    return {"seconds": manifest["seconds"], "users": manifest["report"]["users"], "lists": lists}


def measure(args: argparse.Namespace) -> Result:
    """Train once, evaluate by turns."""
    made: dict[str, list[dict[str, Any]]] = {str(count): [] for count in args.processes}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "scaling.yaml").write_text(spec(args))
        trained = folder / "trained" / "run"
        run(folder, trained, "--set", "stages.warm=null", "--set", "stages.evaluate=null")
        report = json.loads((trained / "stages" / "ground" / "artifact.json").read_text())["report"]
        for _ in range(args.repeats):
            for count in args.processes:
                made[str(count)].append(evaluated(folder, trained, count))
                print(f"{count} processes: {made[str(count)][-1]['seconds']} s", flush=True)
    every = [one for runs in made.values() for one in runs]
    return {
        **machine(),
        "threads": 1,
        "users": every[0]["users"],
        "items": args.items,
        "parameters": report["parameters"],
        "equal_lists": len({one["lists"] for one in every}) == 1,
        "seconds": {count: [one["seconds"] for one in runs] for count, runs in made.items()},
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    equal = "equal lists for every user" if result["equal_lists"] else "LISTS THAT DIFFER"
    return (
        f"Evaluation of {result['users']:,} users, {result['items']:,} items, "
        f"{result['parameters'] / 1e6:.1f} M parameters, 50 beams, one thread a process: {equal} "
        f"({machine_text(result)})."
    )


def tables(result: Result) -> list[Shown]:
    """Seconds, users a second and how many times as fast, by the number of processes."""
    seconds = {count: median(found) for count, found in result["seconds"].items()}
    alone = next(iter(seconds.values()))
    rows = [
        [count, f"{took:.1f}", f"{result['users'] / took:.0f}", f"{alone / took:.2f} ×"]
        for count, took in seconds.items()
    ]
    return [(["processes", "seconds", "users a second", "as fast"], rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--codes", type=int, default=128)
    parser.add_argument("--width", type=int, default=128, help="of the hidden states")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--epochs", type=float, default=1.0)
    main(parser, RESULT, measure, text, tables)
