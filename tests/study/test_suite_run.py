"""A suite of two rows under two seeds, run: its tables against the runs' own numbers, and what it reuses."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lasar_kit.cli.main import main
from lasar_kit.core import metrics
from lasar_kit.report.bootstrap import holm, paired_bootstrap
from lasar_kit.report.compare import over_seeds_of

SUITE = """\
title: Table 0
source: a paper
spec: plain.yaml
seeds: 2
lists: history_in
rows:
  short: {printed: {demo: {hr@10: 0.25, depth: 1.5}}}
  long: {set: {stages: {ground: {epochs: 6}}}, cells: {Epochs: six}}
data: {demo: {use: demo, users: 60, items: 60}}
show:
  - {use: table, metrics: [hr@10, ndcg@10], depth: true, change: above, of: hr@10}
"""
PLAIN = """\
max_history: 6
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 3, codes: 8}}
  ground: {use: sft, samples: packed, score: trie, epochs: 1, eval_users: 10, eval_width: 10, batch_size: 16,
           optimizer: {lr: 5.0e-3}}
  evaluate: {use: evaluate, beside: []}
"""


def command(folder: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["suite", str(folder / "zero.yaml"), "--output", str(folder / "runs"), *more])
    return int(str(ended.value.code))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "plain.yaml").write_text(PLAIN)
    (folder / "zero.yaml").write_text(SUITE)
    assert command(folder) == 0
    return folder / "runs"


def seeds(done: Path, row: str, metric: str) -> list[float]:
    told = [json.loads((done / f"zero-{row}-demo-{seed}" / "metrics.json").read_text()) for seed in (0, 1)]
    return [one["evaluate"]["history_in"][metric] for one in told]


def test_a_table_has_means_deviations_changes_and_what_was_printed(done: Path) -> None:
    text = (done / "zero.txt").read_text()
    found = {
        row: {m: np.array(seeds(done, row, m)) for m in ("hr@10", "ndcg@10")} for row in ("short", "long")
    }
    for row, values in found.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(row))
        for value in values.values():
            assert f"{value.mean():.4f} ± {value.std(ddof=1):.4f}" in line
    change = found["long"]["hr@10"].mean() / found["short"]["hr@10"].mean() - 1
    long = next(line for line in text.splitlines() if line.startswith(" long"))
    assert long.split()[1] == "six"
    assert f"{change:+.1%}" in long
    assert re.search(r"^ +printed +0\.2500 +1\.50 *$", text, re.MULTILINE)
    assert "60 users of demo; mean ± standard deviation over 2 seeds" in text
    assert "printed: in a paper" in text
    latex = (done / "zero.tex").read_text()
    assert r"$\pm$" in latex
    assert r"\toprule" in latex
    assert "| model | Epochs | HR@10 | NDCG@10 | mean N | Δ HR@10 |" in (done / "zero.md").read_text()


def test_marks_are_of_paired_tests_on_users_means_over_seeds(done: Path) -> None:
    """Against the first row, corrected by Holm for the rows of a column: here the one other row."""
    with (done / "zero.csv").open() as file:
        rows = list(csv.DictReader(file))
    p_values = next(row for row in rows if row["line"] == "p")
    assert p_values["model"] == "long"
    runs = {row: [done / f"zero-{row}-demo-{seed}" for seed in (0, 1)] for row in ("short", "long")}
    text = next(line for line in (done / "zero.txt").read_text().splitlines() if line.startswith(" long"))
    for metric in ("hr@10", "ndcg@10"):
        users = {
            row: over_seeds_of(of, "evaluate").values["history_in"][metric].mean(0)
            for row, of in runs.items()
        }
        test = paired_bootstrap(users["short"], users["long"], np.random.default_rng(0), 10_000)
        assert float(p_values[metric.upper()]) == pytest.approx(*holm([test.p_value]))
        mark = "**" if test.p_value < 0.01 else "*" if test.p_value < 0.05 else ""
        cell = re.search(rf"{users['long'].mean():.4f} ± \d\.\d{{4}}( \*+)?", text)
        assert cell is not None
        assert (cell[1] or "").strip() == mark
    assert any(mark in text for mark in ("*", "**")), "six epochs are known to differ from one"
    deviation = next(row for row in rows if row["line"] == "sd of 2 seeds" and row["model"] == "long")
    assert float(deviation["HR@10"]) == pytest.approx(np.std(seeds(done, "long", "hr@10"), ddof=1))


def test_the_numbers_by_seed_are_kept(done: Path) -> None:
    told = json.loads((done / "zero.json").read_text())["rows"]
    assert [(one["row"], one["data"], len(one["runs"])) for one in told] == [
        ("short", "demo", 2), ("long", "demo", 2)
    ]  # fmt: skip
    assert told[1]["history_in"]["hr@10"] == pytest.approx(seeds(done, "long", "hr@10"))
    assert set(told[0]["history_in"]) == set(metrics.per_user(np.array([1]), np.array([1])))


def test_stages_are_shared_and_what_is_there_is_not_run_again(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {json.loads(path.read_text())["key"] for path in done.glob("*-0/stages/tokenize/artifact.json")}
    assert len(keys) == 1
    (done / "zero-long-demo-1" / "metrics.json").unlink()
    (done / "zero-long-demo-1" / "stages" / "evaluate" / "artifact.json").unlink()
    assert command(done.parent, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert (
        "short, demo: 2 of 2 runs are there\nlong, demo: 1 of 2 runs are there\n1 stage left, about"
        in printed
    )
    before = {path: path.stat().st_mtime_ns for path in done.glob("*/stages/*/artifact.json")}
    assert command(done.parent, "--format", "csv") == 0
    printed = capsys.readouterr().out
    assert "3 of 4 runs are there, 1 left" in printed
    assert "run 1 of 1: long, demo, seed 1; 1 stage left, about" in printed
    assert (done / "zero.csv").read_text() in printed
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_more_seeds_add_to_what_is_there(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(done.parent, "--seeds", "3", "--dry-run") == 0
    assert "short, demo: 2 of 3 runs are there" in capsys.readouterr().out


def test_missing_data_ends_in_a_line_before_anything_runs(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(done.parent, "--data", "B=/nowhere/Beauty") == 2
    assert "dataset.path: no such file or folder: /nowhere/Beauty" in capsys.readouterr().err
