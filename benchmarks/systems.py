"""Runs the systems of `tutorials/baselines`, seed by seed, and prints the tables of docs/systems.md.

python benchmarks/systems.py --data scientific=data/Scientific --data beauty=data/Beauty --workers 12
python benchmarks/systems.py --data scientific=data/Scientific --only TIGER --seed 2    # one run
python benchmarks/systems.py --data scientific=data/Scientific --only TIGER --set stages.train.epochs=17
python benchmarks/systems.py --merge elsewhere    # takes what another machine stored
python benchmarks/systems.py --table              # prints what benchmarks/results holds

Each run is stored as it ends, in the place of the one of its data set, system and seed; all others stay.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from itertools import product
from pathlib import Path
from platform import python_version

import numpy as np
import torch
from system_parts.listed import METRICS, PROTOCOLS, STUDIES, SYSTEMS, settings
from system_parts.stored import Ranks, Result, add, key, read
from system_parts.tables import study, table, tried

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"


def one(
    data: str, folder: Path, name: str, seed: int, minutes: float, device: str, beside: Sequence[str] = ()
) -> tuple[Result, Ranks]:
    """Run a spec; its metrics by stage, its best validation, and users' ranks by stage that is a row.

    `beside` is set of the spec last, as `--set` takes it. A run that fails has `error` in place of metrics.
    """
    started = time.perf_counter()
    versions = {"python": python_version(), **{of: version(of) for of in ("torch", "transformers")}}
    about = {"data": data, "name": name, "seed": seed, "device": device, "versions": versions}
    about |= {"set": list(beside)} if beside else {}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "run"
        command = [sys.executable, "-m", "lasar_kit", "run", f"tutorials/baselines/{SYSTEMS[name].spec}.yaml"]
        for setting in (*settings(data, folder.resolve(), name, seed, minutes), *beside):
            command += ["--set", setting]
        done = subprocess.run([*command, "--output", str(path)], cwd=ROOT, capture_output=True, text=True)
        about["seconds"] = round(time.perf_counter() - started)
        if done.returncode:
            return {**about, "error": (done.stderr or done.stdout)[-500:]}, {}
        metrics = json.loads((path / "metrics.json").read_text())
        log = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
        about["trained"] = trained(log)
        for stage, found in about["trained"].items():
            made = json.loads((path / "stages" / stage / "artifact.json").read_text())
            found["seconds"] = round(made["seconds"])
        shown = [
            stage
            for stage in metrics
            if stage in (STUDIES[name].rows if name in STUDIES else SYSTEMS[name].rows)
        ]
        ranks = {key(about, stage): _ranks(path / "stages" / stage / "predictions.jsonl") for stage in shown}
    best = max(line.get("validation_ndcg@10", 0.0) for line in log)
    stages = {
        stage: {p: {metric: row[p][metric] for metric in METRICS} for p in PROTOCOLS}
        for stage, row in metrics.items()
    }
    return {**about, "validation": best, "stages": stages}, ranks


def trained(log: Sequence[Result]) -> dict[str, Result]:
    """Of each training stage that validates: its updates, the best validation, and the update that had it.

    `seconds`, beside them, are told by the run's folder.
    """
    found: dict[str, Result] = {}
    for line in log:
        if "step" not in line:
            continue
        stage = found.setdefault(line["stage"], {"updates": 0})
        stage["updates"] = max(stage["updates"], line["step"])
        value = line.get("validation_ndcg@10")
        if value is not None and value > stage.get("validation", -1.0):
            stage |= {"validation": value, "kept": line["step"]}
    return {name: stage for name, stage in found.items() if "validation" in stage}


def _ranks(predictions: Path) -> np.ndarray:
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    return np.array([[line[protocol]["rank"] for line in lines] for protocol in PROTOCOLS], np.uint8)


def measure(arguments: argparse.Namespace) -> bool:
    """All runs, so many at once; each is stored and printed as it ends. True if none failed."""
    sets = dict(entry.split("=", 1) for entry in arguments.data)
    seeds: Sequence[int] = arguments.seed or range(arguments.seeds)
    limits = (arguments.minutes, arguments.device, arguments.set)
    good = True
    with ThreadPoolExecutor(arguments.workers) as pool:
        jobs = product(sets.items(), arguments.only or SYSTEMS, seeds)
        began = [pool.submit(one, data, Path(path), name, seed, *limits) for (data, path), name, seed in jobs]
        for future in as_completed(began):
            run, ranks = future.result()
            print(json.dumps(run), flush=True)
            if "error" in run:
                good = False
            else:
                add(arguments.results, [run], ranks)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER", help="LC-Rec's files")
    parser.add_argument("--only", nargs="*", choices=list(SYSTEMS), help="some systems")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--seed", type=int, action="append", help="this one, and each one so named")
    parser.add_argument("--workers", type=int, default=2, help="runs at once")
    parser.add_argument("--minutes", type=float, default=30.0, help="most of a training stage")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the spec, last")
    parser.add_argument("--device", default=_device(), help="a word on the machine, kept with each run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what is stored")
    parser.add_argument("--merge", type=Path, metavar="FOLDER", help="take what it holds, and run nothing")
    parser.add_argument("--table", action="store_true", help="print the stored tables and do nothing else")
    arguments = parser.parse_args()
    good = True
    if arguments.merge:
        other = read(arguments.merge)
        add(arguments.results, other.results["runs"], other.ranks)
    elif not arguments.table:
        good = measure(arguments)
    stored = read(arguments.results).results
    for data in dict.fromkeys(run["data"] for run in stored["runs"]):
        print(f"{data}\n\n{table(stored, data)}\n")
    for data, studies in stored["study"].items():
        for name in studies:
            print(f"{data}, {name}\n\n{study(stored, data, name)}\n")
        print(f"{data}, ways that were tried\n\n{tried(stored, data)}\n")
    sys.exit(0 if good else 1)


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return "one CPU thread" if threads == 1 else f"{threads} CPU threads"


if __name__ == "__main__":
    main()
