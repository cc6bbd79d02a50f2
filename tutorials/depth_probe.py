"""How long the depth probe's models think about questions of each number of hops.

lasar-kit run tutorials/depth_probe.yaml --output runs/depth_probe
python tutorials/depth_probe.py runs/depth_probe
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

STAGES = {"SFT": "think", "RL": "evaluate"}


def answers(run: Path, stage: str) -> pl.DataFrame:
    """A row a held-out question: the hops it takes, the depth it was thought about, whether the first item of
    the list is right."""
    lines = pl.read_ndjson(run / "stages" / stage / "predictions.jsonl")
    return lines.select(
        hops=pl.col("user").str.split("+").list.last().cast(pl.Int64),
        depth=pl.col("depth"),
        right=pl.col("items").list.first() == pl.col("target"),
    )


def rank_correlation(found: pl.DataFrame) -> float:
    """Spearman's correlation of depth and hops, ties at their mean rank; NaN where all depths are equal."""
    value = found.select(pl.corr("hops", "depth", method="spearman")).item()
    return float("nan") if value is None else float(value)


def main(run: Path) -> None:
    """Print a line a number of hops, then one for all."""
    found = {name: answers(run, stage) for name, stage in STAGES.items()}
    print("hops  questions" + "".join(f"  {name + ': N':>7}  {'right':>5}" for name in found))
    everyone = next(iter(found.values()))["hops"]
    for hops in [*sorted(set(everyone)), None]:
        rows = [table if hops is None else table.filter(hops=hops) for table in found.values()]
        cells = [f"  {row['depth'].mean():7.2f}  {row['right'].mean():5.3f}" for row in rows]
        print(f"{'all' if hops is None else hops:>4}  {len(rows[0]):9}" + "".join(cells))
    print(f"Spearman of depth and hops behind RL: {rank_correlation(found['RL']):.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {Path(sys.argv[0]).name} RUN, the folder of a finished run of depth_probe.yaml")
    main(Path(sys.argv[1]))
