"""Runs the systems of `tutorials/baselines`, seed by seed, and prints the tables of docs/systems.md.

python benchmarks/systems.py --data scientific=data/Scientific --data beauty=data/Beauty --workers 12
python benchmarks/systems.py --table    # prints what benchmarks/results/systems.json holds
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from jaxtyping import Float

from lasar_kit.report.bootstrap import paired_bootstrap

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "systems.json"
PROTOCOLS = ("history_out", "history_in")
METRICS = ("hr@10", "ndcg@10")
Result = dict[str, Any]

THINKS = "latent_loop={use: coconut, exit: residual, feedback_scale: embedding_rms}"
SYSTEMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "GRU4Rec": ("gru4rec", ()),
    "BERT4Rec": ("bert4rec", ()),
    "SASRec, one negative (BCE)": ("sasrec_bce", ()),
    "SASRec, sampled softmax": ("sasrec_sampled", ()),
    "SASRec": ("sasrec_memory", ()),
    "SASRec, a thought from the first epoch": ("sasrec_thinks", ("train.depth_policy.depth=1",)),
    "SASRec, three thoughts from the first epoch": ("sasrec_thinks", ()),
    "SASRec, three pauses": ("sasrec_pause", ()),
    "SASRec, three times noise": ("sasrec_noise", ()),
    "ReaRec ERL": ("rearec_erl", ()),
    "ReaRec PRL": ("rearec_prl", ()),
    "SASRec, each prefix a sample": ("sasrec_prefixes", ()),
    "BSARec": ("bsarec_memory", ()),
    "Qwen3": ("qwen3_memory", ()),
    "Qwen3, a thought from the first epoch": (
        "qwen3_id",
        (f"train.{THINKS}", "train.depth_policy={use: fixed, depth: 1}"),
    ),
    "Qwen3, three thoughts from the first epoch": (
        "qwen3_id",
        (f"train.{THINKS}", "train.depth_policy={use: fixed, depth: 3}"),
    ),
    "Qwen3, cluster and item": ("hybrid_trained", ()),
    "thinking": ("thinking", ()),
}
"""What tables call a model: its spec, and what is set of its stages beside."""
EXTRA = {"memory": ", with memory", "evaluate_hybrid": "", "memory_hybrid": ", with memory"}
"""Stages beside `evaluate` that are rows of their own, and what their model's name ends with."""
OPTIONS = {("beauty", "bsarec"): ("train.batch_size=512", "train.optimizer.lr=1.0e-3")}
"""By data set and the beginning of a spec's name: larger batches where there are many prefixes."""
STUDY = {
    "evaluate": "the model itself",
    "e_more": "ten more epochs (control)",
    "e_pause3": "three pauses",
    "e_noise3": "three times noise",
    "e_think1": "one thought",
    "e_think3": "three thoughts",
    "e_each3": "three thoughts, each held to the answer",
}
"""The rows of the spec `thinking`."""


def one(data: str, folder: Path, name: str, seed: int, minutes: float, runs: Path) -> Result:
    """Run a spec; its metrics by stage, its best validation, and users' NDCG@10 by stage and protocol."""
    spec, options = SYSTEMS[name]
    path, started = runs / f"{data}-{len(list(runs.iterdir()))}-{seed}" / "run", time.perf_counter()
    more = [own for (of, first), own in OPTIONS.items() if of == data and spec.startswith(first)]
    command = [sys.executable, "-m", "lasar_kit", "run", f"tutorials/baselines/{spec}.yaml"]
    for option in (
        "dataset.use=lcrec",
        f"dataset.path={folder}",
        f"seed={seed}",
        "stages.evaluate.beside=[]",
        f"hooks=[{{use: time_limit, minutes: {minutes}}}]",
        *(f"stages.{option}" for option in (*options, *(own for owns in more for own in owns))),
    ):
        command += ["--set", option]
    done = subprocess.run([*command, "--output", str(path)], cwd=ROOT, capture_output=True, text=True)
    found: Result = {
        "data": data,
        "name": name,
        "seed": seed,
        "seconds": round(time.perf_counter() - started),
    }
    if done.returncode:
        return {**found, "error": (done.stderr or done.stdout)[-500:]}
    metrics = json.loads((path / "metrics.json").read_text())
    log = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    best = max(line.get("validation_ndcg@10", 0.0) for line in log)
    stages = {
        stage: {p: {metric: row[p][metric] for metric in METRICS} for p in PROTOCOLS}
        for stage, row in metrics.items()
    }
    users = {
        f"{stage}/{p}": _ndcg(path / "stages" / stage / "predictions.jsonl", p)
        for stage, p in product(stages, PROTOCOLS)
    }
    return {**found, "validation": best, "stages": stages, "users": users}


def _ndcg(predictions: Path, protocol: str) -> Float[np.ndarray, " U"]:
    rank = np.array([json.loads(line)[protocol]["rank"] for line in predictions.read_text().splitlines()])
    hit = (rank > 0) & (rank <= 10)
    return np.where(hit, 1 / np.log2(np.where(hit, rank, 1) + 1), 0.0)


def compared(runs: Sequence[Result]) -> Result:
    """Of `thinking`: p of each stage against the control, each user's NDCG@10 the mean over seeds."""
    study = [run for run in runs if run["name"] == "thinking" and "users" in run]
    found: Result = {}
    for data, protocol in product(dict.fromkeys(run["data"] for run in study), PROTOCOLS):
        same = [run["users"] for run in study if run["data"] == data]
        means = {stage: np.mean([users[f"{stage}/{protocol}"] for users in same], axis=0) for stage in STUDY}
        found.setdefault(data, {})[protocol] = {
            stage: paired_bootstrap(own, means["e_more"], np.random.default_rng(0)).p_value
            for stage, own in means.items()
            if stage != "e_more"
        }
    return found


def rows(runs: Sequence[Result], data: str) -> Iterator[tuple[str, list[Result]]]:
    """Each system of a data set, with its metrics under each seed."""
    for name in (name for name in SYSTEMS if name != "thinking"):
        own = sorted(
            (r for r in runs if r["data"] == data and r["name"] == name), key=lambda r: int(r["seed"])
        )
        for stage in ("evaluate", *EXTRA):
            # What stands first in the hybrid's spec is the model of one token an item.
            first = "cluster" in name and stage == "evaluate"
            if (found := [r["stages"][stage] for r in own if stage in r.get("stages", ())]) and not first:
                yield name + EXTRA.get(stage, ""), found


def shown(values: Sequence[float]) -> str:
    """The mean, and the standard deviation where there are several."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def table(stored: Result, data: str) -> str:
    """Markdown: every system on a data set."""
    lines = [
        "| | seeds | excluded: HR@10 | NDCG@10 | not excluded: HR@10 | NDCG@10 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, seeds in rows(stored["runs"], data):
        cells = [shown([seed[p][m] for seed in seeds]) for p in PROTOCOLS for m in METRICS]
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def study(stored: Result, data: str) -> str:
    """Markdown: what more training gave, with thoughts and without."""
    runs = [run for run in stored["runs"] if run["data"] == data and run["name"] == "thinking"]
    lines = [
        f"| {len(runs)} seeds | excluded: NDCG@10 | p | not excluded: NDCG@10 | p |",
        "|---|---:|---:|---:|---:|",
    ]
    for stage, name in STUDY.items():
        cells = []
        for protocol in PROTOCOLS:
            p = stored["study"][data][protocol].get(stage)
            cells += [
                shown([run["stages"][stage][protocol]["ndcg@10"] for run in runs]),
                "" if p is None else f"{p:.3f}",
            ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(arguments: argparse.Namespace) -> Result:
    """All runs, so many at once; what is done is printed as it comes."""
    sets = dict(entry.split("=", 1) for entry in arguments.data)
    jobs = list(product(sets.items(), arguments.only or SYSTEMS, range(arguments.seeds)))
    runs: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.workers) as pool:
        began = [
            pool.submit(one, data, Path(path).resolve(), name, seed, arguments.minutes, Path(folder))
            for (data, path), name, seed in jobs
        ]
        for future in as_completed(began):
            runs.append(future.result())
            print({key: value for key, value in runs[-1].items() if key != "users"}, flush=True)
    kept = [{key: value for key, value in run.items() if key != "users"} for run in runs]
    return {"device": arguments.device, "runs": kept, "study": compared(runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER", help="LC-Rec's files")
    parser.add_argument("--only", nargs="*", choices=list(SYSTEMS), help="some systems")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="runs at once")
    parser.add_argument("--minutes", type=float, default=30.0, help="most of a training stage")
    parser.add_argument("--device", default="", help="a word on the machine, kept with the results")
    parser.add_argument("--table", action="store_true", help="print the stored tables and do nothing else")
    arguments = parser.parse_args()
    if not arguments.table:
        RESULTS.write_text(json.dumps(measure(arguments), indent=1) + "\n")
    stored = json.loads(RESULTS.read_text())
    for data in dict.fromkeys(run["data"] for run in stored["runs"]):
        print(f"{data}\n\n{table(stored, data)}\n")
    for data in stored["study"]:
        print(f"{data}, more training\n\n{study(stored, data)}\n")


if __name__ == "__main__":
    main()
