"""Collects the results of finished Beauty runs, and prints the table that the documents show.

lasar-kit run tutorials/beauty/minionerec_cpu.yaml --set dataset.path=data/Beauty --output runs/beauty
python benchmarks/beauty.py runs/beauty        # writes benchmarks/results/beauty.json
python benchmarks/beauty.py --table            # prints the table
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results" / "beauty.json"
COLUMNS = ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")


def collect(run: Path) -> dict[str, Any]:
    """Collect the figures that a run reports of itself."""
    stages = {}
    for manifest in sorted(run.glob("stages/*/artifact.json")):
        stored = json.loads(manifest.read_text())
        stages[manifest.parent.name] = {"minutes": round(stored["seconds"] / 60, 1), **stored["report"]}
    training = {name: stage for name, stage in stages.items() if "parameters" in stage}
    return {
        "metrics": json.loads((run / "metrics.json").read_text()),
        "parameters": {name: stage["parameters"] for name, stage in training.items()},
        "epochs": {name: stage["epochs"] for name, stage in training.items()},
        "minutes": {name: stage["minutes"] for name, stage in stages.items()},
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "python": platform.python_version(),
    }


def reported(run: dict[str, Any], protocol: str) -> dict[str, Any]:
    """The row of a protocol; of runs from before a stage told of both, that of the stage that asked it."""
    metrics = run["metrics"]
    stage = "evaluate" if protocol == "history_out" else "evaluate_all"
    found: dict[str, Any] = metrics["evaluate"].get(protocol) or metrics[stage]
    return found


def table(results: dict[str, Any]) -> str:
    """Markdown: for each protocol the baselines and then the models."""
    lines = ["| history in the lists | model | " + " | ".join(name.upper() for name in COLUMNS) + " |"]
    lines.append("|---|---|" + "---|" * len(COLUMNS))
    for protocol, label in (("history_out", "excluded"), ("history_in", "not excluded")):
        first = reported(next(iter(results.values())), protocol)["baselines"]
        rows = [*first.items(), *((name, reported(run, protocol)) for name, run in results.items())]
        for name, row in rows:
            lines.append(f"| {label} | {name} | " + " | ".join(f"{row[c]:.4f}" for c in COLUMNS) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--table", action="store_true", help="print the table and do nothing else")
    arguments = parser.parse_args()
    if not arguments.table:
        found = {}
        for run in arguments.runs:
            lock = (run / "spec.lock.yaml").read_text().splitlines()
            found[lock[0].removeprefix("name: ")] = collect(run)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(table(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
