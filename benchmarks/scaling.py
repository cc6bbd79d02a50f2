"""Stages of a run on one process and on several, a thread each: how much faster, and whether to the same end.

    python benchmarks/scaling.py             measure, print, write benchmarks/results/scaling.json
    python benchmarks/scaling.py --table     print the table of docs/processes.md from that file

A model of the size of tutorials/beauty is trained a little on a generated shop. Copies of that run are then
trained on by SFT, by GRPO, and evaluated, by `lasar-kit run --processes`, the numbers of processes by turns.
Seconds are what a stage takes, from loading the model to its report, behind another stage that has everything
imported; figures are medians. Wants as many idle cores as processes.
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
VALIDATION: dict[str, Any] = {"eval_users": 50, "eval_width": 10}
SFT: dict[str, Any] = {"use": "sft", "samples": "packed", "score": "trie", "log_every": 1, **VALIDATION}
STAGES = {"more": "SFT, packed", "rl": "RL, 8 candidates", "evaluate": "evaluation"}
SPEC: dict[str, Any] = {
    "name": "scaling",
    "dataset": {"use": "demo"},
    "max_history": 20,
    "backbone": {"use": "qwen3", "text_vocabulary": 512, "embedding_dropout": 0.0},
    "prompt": "sid_only",
    "decoder": {"use": "trie_beam", "width": 50, "score": "trie"},
    "stages": {
        "tokenize": {"use": "tokenize", "quantizer": {"use": "rq_kmeans", "levels": 4}},
        "ground": {**SFT, "epochs": 1},
        "warm": {"use": "evaluate", "max_users": 20},
        "more": {**SFT, "from": "ground"},
        "rl": {
            "use": "rl",
            "from": "ground",
            "epochs": 1,
            "batch_size": 32,
            "objectives": [{"objective": "grpo"}],
            "log_every": 1,
            **VALIDATION,
        },
        "evaluate": {"use": "evaluate", "from": "ground"},
    },
}


def spec(args: argparse.Namespace) -> str:
    """The spec at the sizes that were asked for."""
    found = json.loads(json.dumps(SPEC))
    found["dataset"] |= {"users": args.users, "items": args.items}
    found["backbone"] |= {"hidden_size": args.width, "layers": args.layers}
    found["stages"]["tokenize"]["quantizer"]["codes"] = args.codes
    found["stages"]["more"]["epochs"] = args.epochs
    found["stages"]["rl"]["max_samples"] = args.prompts
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


def repeated(folder: Path, trained: Path, processes: int) -> dict[str, Any]:
    """A copy of the trained run, gone on with: each stage's seconds, the losses, a digest of the lists."""
    place = folder / "copy" / "run"  # alone in its folder, so that no other run's stages are found
    shutil.rmtree(place.parent, ignore_errors=True)
    shutil.copytree(trained, place)
    run(folder, place, "--processes", str(processes))
    manifests = {name: json.loads((place / "stages" / name / "artifact.json").read_text()) for name in STAGES}
    lines = [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
    return {
        "seconds": {name: manifest["seconds"] for name, manifest in manifests.items()},
        "losses": [line["loss"] for line in lines if line["stage"] in ("more", "rl") and "loss" in line],
        "users": manifests["evaluate"]["report"]["users"],
        "lists": hashlib.sha256((place / "stages/evaluate/predictions.jsonl").read_bytes()).hexdigest(),
    }


def measure(args: argparse.Namespace) -> Result:
    """Train once, go on by turns."""
    made: dict[str, list[dict[str, Any]]] = {str(count): [] for count in args.processes}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "scaling.yaml").write_text(spec(args))
        trained = folder / "trained" / "run"
        run(
            folder,
            trained,
            *(option for name in ("warm", *STAGES) for option in ("--set", f"stages.{name}=null")),
        )
        report = json.loads((trained / "stages" / "ground" / "artifact.json").read_text())["report"]
        for _ in range(args.repeats):
            for count in args.processes:
                made[str(count)].append(repeated(folder, trained, count))
                print(f"{count} processes: {made[str(count)][-1]['seconds']}", flush=True)
    every = [one for runs in made.values() for one in runs]
    losses = every[0]["losses"]
    return {
        **machine(),
        "threads": 1,
        "users": every[0]["users"],
        "items": args.items,
        "parameters": report["parameters"],
        "equal_lists": len({one["lists"] for one in every}) == 1,
        "updates": len(losses),
        "losses_differ": max(
            abs(one - other) for run in every for one, other in zip(run["losses"], losses, strict=True)
        ),
        "seconds": {
            name: {count: [one["seconds"][name] for one in runs] for count, runs in made.items()}
            for name in STAGES
        },
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    equal = "equal lists for every user" if result["equal_lists"] else "LISTS THAT DIFFER"
    return (
        f"{result['users']:,} users, {result['items']:,} items, {result['parameters'] / 1e6:.1f} M "
        f"parameters, 50 beams, one thread a process: {equal}, losses of {result['updates']} updates within "
        f"{result['losses_differ']:.0e} ({machine_text(result)})."
    )


def tables(result: Result) -> list[Shown]:
    """Seconds and how many times as fast, by stage and number of processes."""
    rows = []
    for name, found in result["seconds"].items():
        seconds = {count: median(each) for count, each in found.items()}
        alone = next(iter(seconds.values()))
        rows += [
            [STAGES[name], count, f"{took:.1f}", f"{alone / took:.2f} ×"] for count, took in seconds.items()
        ]
    return [(["stage", "processes", "seconds", "as fast"], rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--codes", type=int, default=128)
    parser.add_argument("--width", type=int, default=128, help="of the hidden states")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--epochs", type=float, default=2.0, help="of the SFT that is timed")
    parser.add_argument("--prompts", type=int, default=1000, help="of RL")
    main(parser, RESULT, measure, text, tables)
