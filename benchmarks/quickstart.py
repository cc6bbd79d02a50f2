"""Collects finished runs of the quickstart, one a seed, and prints the table that the README shows.

for n in 0 1 2; do lasar-kit run tutorials/quickstart.yaml --set seed=$n --output runs/quickstart-$n; done
python benchmarks/quickstart.py runs/quickstart-*   # writes benchmarks/results/quickstart.json
python benchmarks/quickstart.py --table             # prints the table
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RESULTS = Path(__file__).parent / "results" / "quickstart.json"
COLUMNS = ("hr@10", "ndcg@10", "mean_depth")


def collect(run: Path) -> tuple[str, dict[str, Any]]:
    """The seed of a run, and its metrics by evaluate stage."""
    seed = re.search(r"^seed: (\d+)$", (run / "spec.lock.yaml").read_text(), re.MULTILINE)
    assert seed is not None
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return seed[1], metrics


def table(results: dict[str, Any]) -> str:
    """Markdown: each model's mean and standard deviation over the seeds."""
    lines = [f"| {len(results)} seeds | HR@10 | NDCG@10 | mean N |", "|---|---|---|---|"]
    for stage, first in next(iter(results.values())).items():
        cells = []
        for name in COLUMNS:
            values = [run[stage][name] for run in results.values()]
            places = 2 if name == "mean_depth" else 4
            cells.append(f"{mean(values):.{places}f} ± {stdev(values):.{places}f}")
        lines.append(f"| {first['label']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs, each of another seed")
    parser.add_argument("--table", action="store_true", help="print the table and do nothing else")
    arguments = parser.parse_args()
    if not arguments.table:
        found = dict(sorted(collect(run) for run in arguments.runs))
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(table(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
