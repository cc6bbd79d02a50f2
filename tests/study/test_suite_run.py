"""A suite of two rows under two seeds, run: its tables against the runs' own numbers, and what it reuses."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lasar_kit.core import metrics
from lasar_kit.report.bootstrap import holm, paired_bootstrap
from lasar_kit.report.compare import over_seeds_of
from tests.pages import follow, in_process

PAGE = Path(__file__).resolve().parents[2] / "docs" / "suites.md"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, followed to the letter."""
    folder = tmp_path_factory.mktemp("suite")
    follow(PAGE.read_text(), folder, in_process)
    return folder / "runs" / "epochs"


def seeds(done: Path, row: str, metric: str) -> list[float]:
    told = [json.loads((done / f"epochs-{row}-shop-{seed}" / "metrics.json").read_text()) for seed in (0, 1)]
    return [one["evaluate"]["history_in"][metric] for one in told]


def test_a_table_has_means_deviations_changes_and_what_was_printed(done: Path) -> None:
    text = (done / "epochs.txt").read_text()
    found = {
        row: {m: np.array(seeds(done, row, m)) for m in ("hr@10", "ndcg@10")} for row in ("short", "long")
    }
    for row, values in found.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(row))
        for value in values.values():
            assert f"{value.mean():.4f} ± {value.std(ddof=1):.4f}" in line
    change = found["long"]["ndcg@10"].mean() / found["short"]["ndcg@10"].mean() - 1
    long = next(line for line in text.splitlines() if line.startswith(" long"))
    assert long.split()[1] == "four"
    assert f"{change:+.1%}" in long
    assert re.search(r"^ +printed +0\.2500 *$", text, re.MULTILINE)
    latex = (done / "epochs.tex").read_text()
    assert r"$\pm$" in latex
    assert r"\toprule" in latex
    assert "| model | epochs | HR@10 | NDCG@10 | Δ NDCG@10 |" in (done / "epochs.md").read_text()


def test_marks_are_of_paired_tests_on_users_means_over_seeds(done: Path) -> None:
    """Against the first row, corrected by Holm for the rows of a column: here the one other row."""
    with (done / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    p_values = next(row for row in rows if row["line"] == "p")
    assert p_values["model"] == "long"
    runs = {row: [done / f"epochs-{row}-shop-{seed}" for seed in (0, 1)] for row in ("short", "long")}
    text = next(line for line in (done / "epochs.txt").read_text().splitlines() if line.startswith(" long"))
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
    deviation = next(row for row in rows if row["line"] == "sd of 2 seeds" and row["model"] == "long")
    assert float(deviation["HR@10"]) == pytest.approx(np.std(seeds(done, "long", "hr@10"), ddof=1))


def test_the_numbers_by_seed_are_kept(done: Path) -> None:
    told = json.loads((done / "epochs.json").read_text())["rows"]
    assert [(one["row"], one["data"], len(one["runs"])) for one in told] == [
        ("short", "shop", 2), ("long", "shop", 2)
    ]  # fmt: skip
    assert told[1]["history_in"]["hr@10"] == pytest.approx(seeds(done, "long", "hr@10"))
    assert set(told[0]["history_in"]) == set(metrics.per_user(np.array([1]), np.array([1])))


def test_stages_are_shared_and_what_is_there_is_not_run_again(done: Path) -> None:
    folder = done.parent.parent
    keys = {json.loads(path.read_text())["key"] for path in done.glob("*-0/stages/tokenize/artifact.json")}
    assert len(keys) == 1
    (done / "epochs-long-shop-1" / "metrics.json").unlink()
    (done / "epochs-long-shop-1" / "stages" / "evaluate" / "artifact.json").unlink()
    told = in_process("lasar-kit suite epochs.yaml --dry-run", folder).stdout
    assert (
        "short, shop: 2 of 2 runs are there\nlong, shop: 1 of 2 runs are there\n1 stage left, about" in told
    )
    before = {path: path.stat().st_mtime_ns for path in done.glob("*/stages/*/artifact.json")}
    again = in_process("lasar-kit suite epochs.yaml --format csv", folder).stdout
    assert "3 of 4 runs are there, 1 left" in again
    assert "run 1 of 1: long, shop, seed 1; 1 stage left, about" in again
    assert (done / "epochs.csv").read_text() in again
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_more_seeds_add_to_what_is_there(done: Path) -> None:
    told = in_process("lasar-kit suite epochs.yaml --seeds 3 --dry-run", done.parent.parent).stdout
    assert "short, shop: 2 of 3 runs are there" in told


def test_missing_data_ends_in_a_line_before_anything_runs(done: Path) -> None:
    ended = in_process("lasar-kit suite epochs.yaml --data B=/nowhere/Beauty", done.parent.parent)
    assert ended.returncode == 2
    assert "dataset.path: no such file or folder: /nowhere/Beauty" in ended.stderr
