"""Collects finished runs of the quickstart, one a seed, and prints the tables that the documents show.

for n in 0 1 2; do
  lasar-kit run tutorials/quickstart_controls.yaml --output runs/quickstart-$n \
    --set seed=$n --set dataset.seed=$n --set stages.anchors.teacher.seed=$n
done
python benchmarks/quickstart.py runs/quickstart-*   # writes benchmarks/results/quickstart.json
python benchmarks/quickstart.py --table             # prints the tables
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from lasar_kit.data import stored_dataset
from lasar_kit.report.bootstrap import stratified_bootstrap

RESULTS = Path(__file__).parent / "results" / "quickstart.json"
PROTOCOLS = {"history_in": "in the lists", "history_out": "left out"}
CONTROL, MODEL = "minionerec_more", "lasar_rl"
ROWS = (
    "minionerec",
    CONTROL,
    "pause_positions",
    "noise_thoughts",
    "untaught_thoughts",
    "lasar_sft",
    MODEL,
)
MOST = 4
"""Add-ons of a project at most."""

Results = dict[str, Any]


def told(run: Path, stage: str) -> list[Results]:
    """A line a user."""
    lines = (run / "stages" / stage / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def depths(run: Path, stage: str) -> Int[np.ndarray, " U"]:
    """Thoughts of each user."""
    return np.array([line["depth"] for line in told(run, stage)])


def ndcg(run: Path, stage: str, protocol: str) -> Float[np.ndarray, " U"]:
    """NDCG@10 of each user."""
    rank = np.array([line[protocol]["rank"] for line in told(run, stage)])
    hit = (rank > 0) & (rank <= 10)
    return np.where(hit, 1 / np.log2(np.where(hit, rank, 1) + 1), 0.0)


def add_ons(run: Path) -> Int[np.ndarray, " U"]:
    """How many add-ons stand before the last product of each user's history; 0 of one without a project."""
    data = stored_dataset.load(run / "stages" / "dataset")
    assert data.cuts is not None
    is_add_on = np.array([text.startswith("Add-ons, ") for text in data.items["categories"]])
    counts = []
    for user, (_, end) in enumerate(data.cuts):
        before = is_add_on[data.sequences[user][: end - 1]][::-1]
        counts.append(int(np.argmin(np.append(before, False))))
    return np.array(counts)


def collect(run: Path) -> tuple[str, Results]:
    """The seed of a run, and its metrics by evaluate stage, of LASAR and the control by add-ons too."""
    seed = re.search(r"^seed: (\d+)$", (run / "spec.lock.yaml").read_text(), re.MULTILINE)
    assert seed is not None
    metrics: Results = json.loads((run / "metrics.json").read_text())
    counts = add_ons(run)
    for stage in (CONTROL, MODEL):
        users, depth = ndcg(run, stage, "history_in"), depths(run, stage)
        metrics[stage]["by_add_ons"] = {
            str(count): {
                "users": int((counts == count).sum()),
                "ndcg@10": float(users[counts == count].mean()),
                "mean_depth": float(depth[counts == count].mean()),
            }
            for count in range(MOST + 1)
        }
    return seed[1], {stage: metrics[stage] for stage in ROWS if stage in metrics}


def tested(runs: Sequence[tuple[str, Results, Path]]) -> Results:
    """By protocol and stage: p of LASAR's NDCG@10 against it; users are paired, shops count alike."""
    result: Results = {}
    for protocol in PROTOCOLS:
        for stage in (name for name in ROWS if name != MODEL):
            pairs = {
                seed: (ndcg(run, MODEL, protocol), ndcg(run, stage, protocol))
                for seed, metrics, run in runs
                if stage in metrics
            }
            if pairs:
                p = stratified_bootstrap(list(pairs.values()), np.random.default_rng(0)).p_value
                result.setdefault(protocol, {})[stage] = p
    return result


def merged(runs: Sequence[tuple[str, Results, Path]]) -> Results:
    """The metrics of each seed; a control may stand in another run of the same seed."""
    found: Results = {}
    for seed, metrics, _ in runs:
        found.setdefault(seed, {}).update(metrics)
    return {
        seed: {stage: row[stage] for stage in ROWS if stage in row} for seed, row in sorted(found.items())
    }


def spread(values: Sequence[float], places: int = 4) -> str:
    """The mean, and the standard deviation of several."""
    return f"{mean(values):.{places}f}" + (f" ± {stdev(values):.{places}f}" if len(values) > 1 else "")


def table(stored: Results) -> str:
    """Markdown: each model's mean and standard deviation over the seeds, in both protocols."""
    heads = [f"NDCG@10, history {told} | p" for told in PROTOCOLS.values()]
    lines = [f"| | seeds | mean N | {' | '.join(heads)} |", "|---|---|---|---|---|---|---|"]
    for stage in ROWS:
        rows = [run[stage] for run in stored["runs"].values() if stage in run]
        if not rows:
            continue
        cells = [str(len(rows)), spread([row["mean_depth"] for row in rows], 2)]
        for protocol in PROTOCOLS:
            p = stored["p"][protocol].get(stage)
            cells += [spread([row[protocol]["ndcg@10"] for row in rows]), "" if p is None else f"{p:.4f}"]
        lines.append(f"| {rows[0]['label']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_add_ons(stored: Results) -> str:
    """Markdown: NDCG@10 of LASAR and of the control by the look-ups that a project takes."""
    runs = list(stored["runs"].values())
    heads = ["no project", *(f"{count} look-up{'s' * (count > 1)}" for count in range(1, MOST + 1))]
    lines = [f"| NDCG@10, {len(runs)} seeds | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]

    def means(stage: str, name: str, places: int) -> str:
        rows = [[run[stage]["by_add_ons"][str(count)][name] for run in runs] for count in range(MOST + 1)]
        return " | ".join(f"{mean(row):.{places}f}" for row in rows)

    lines += [f"| {runs[0][stage]['label']} | {means(stage, 'ndcg@10', 3)} |" for stage in (CONTROL, MODEL)]
    return "\n".join([*lines, f"| its mean N | {means(MODEL, 'mean_depth', 2)} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs")
    parser.add_argument("--table", action="store_true", help="print the tables and do nothing else")
    arguments = parser.parse_args()
    if not arguments.table:
        runs = [(*collect(run), run) for run in arguments.runs]
        RESULTS.write_text(json.dumps({"runs": merged(runs), "p": tested(runs)}, indent=2) + "\n")
    stored = json.loads(RESULTS.read_text())
    print(table(stored), by_add_ons(stored), sep="\n\n")


if __name__ == "__main__":
    main()
