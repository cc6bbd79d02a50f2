"""What `check` accepts, `run` carries through: a few combinations of benchmarks/combinations.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import FOLDER, importing


def test_a_draw_of_combinations(tmp_path: Path) -> None:
    """In a process of its own: each case is a fork, which another test's threads would be missing in."""
    script, output = FOLDER / "combinations.py", tmp_path / "result.json"
    command = [sys.executable, str(script), "--cases", "4", "--seed", "3", "--output", str(output)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert (result["cases"], result["troubles"]) == (4, [])


def test_an_objective_that_is_0_throughout_is_to_be_warned_of() -> None:
    with importing() as load:
        script = load("combinations")
        idle = ("evaluate: option x is never read", "reason: objective each_thought is 0 throughout")
        told = "objectives: its term, loss_each_thought, was 0 in each of 2 updates, so it taught nothing"
        assert script.untold(script.Outcome("ran", "", ("warning: something else",), idle)) == [idle[1]]
        assert script.untold(script.Outcome("ran", "", ("warning: so it never thinks; set",), idle)) == []
        assert script.untold(script.Outcome("ran", "", (told,), idle)) == []
        assert script.untold(script.Outcome("ran", "", (), idle[:1])) == []


def test_the_document_holds_the_table_of_the_results() -> None:
    with importing() as load:
        script, report = load("combinations"), load("report")
        result = json.loads(script.RESULTS.read_text(encoding="utf-8"))
        expected = report.markdown(script.text(result), script.tables(result))
    document = (FOLDER.parent / "docs" / "errors.md").read_text(encoding="utf-8")
    _, shown, _ = document.split("<!-- table: combinations -->")
    assert shown.strip() == expected
    assert result["troubles"] == []
