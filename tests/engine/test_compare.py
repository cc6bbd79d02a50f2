"""Comparison of finished runs, from their files alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from lasar_kit.engine.compare import compare
from lasar_kit.errors import UserError


def finished(folder: Path, ranks: list[int], stage: str = "evaluate", target: str = "t") -> Path:
    """A run whose user n finds the target at `ranks[n]`, 0 for nowhere."""
    predictions = folder / "stages" / stage / "predictions.jsonl"
    predictions.parent.mkdir(parents=True)
    with predictions.open("w") as file:
        for user, rank in enumerate(ranks):
            items = [f"i{n}" for n in range(20)]
            if rank:
                items[rank - 1] = target
            file.write(json.dumps({"user": f"u{user}", "target": target, "items": items}) + "\n")
    (folder / "metrics.json").write_text(json.dumps({stage: {"mean_depth": 2.5}}))
    return folder


def test_metrics_and_changes_are_those_of_the_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = finished(tmp_path / "first", [1, 7, 0, 0])
    second = finished(tmp_path / "second", [1, 2, 7, 0])
    compare([first, second], None)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["first", "evaluate", "0.2500", "0.5000", "0.2500", "0.3333", "2.50"] in shown
    ndcg = (1 + 1 / np.log2(3) + 1 / np.log2(8)) / 4
    second_row = next(row for row in shown if row[:1] == ["second"])
    assert second_row[2:6] == ["0.5000", "0.7500", f"{(1 + 1 / np.log2(3)) / 4:.4f}", f"{ndcg:.4f}"]
    change = next(row for row in shown if row[:1] == ["+0.2500"])
    assert change[2] == "+0.2500"
    # HR@5 differs for one user of four, 0 0 0 1: a resample's mean lies as far from 1/4 as 0 does unless
    # that user is drawn exactly once: 1 - 4 (1/4) (3/4)^3 = 0.578.
    assert float(change[1].removeprefix("p=")) == pytest.approx(0.578, abs=0.02)


def test_equal_runs_do_not_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare([finished(tmp_path / name, [3, 0, 9]) for name in ("a", "b")], "evaluate")
    assert capsys.readouterr().out.count("+0.0000 p=1.000") == 4


def test_runs_with_other_test_sets_are_refused(tmp_path: Path) -> None:
    first = finished(tmp_path / "first", [1, 2])
    with pytest.raises(UserError, match="0 users of the first are missing, 1 are new, 0 have another"):
        compare([first, finished(tmp_path / "more", [1, 2, 3])], None)
    with pytest.raises(UserError, match="2 have another target"):
        compare([first, finished(tmp_path / "other", [1, 2], target="x")], None)


def test_mistakes_are_named(tmp_path: Path) -> None:
    first = finished(tmp_path / "first", [1, 2])
    with pytest.raises(UserError, match="is not the folder of a finished run"):
        compare([first, tmp_path], None)
    with pytest.raises(UserError, match="no evaluate stage 'evalute'; did you mean 'evaluate'"):
        compare([first, first], "evalute")


def test_the_models_of_one_run_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = finished(tmp_path / "run", [1, 0], stage="before")
    finished(run, [1, 2], stage="after")
    stored = {name: {"mean_depth": depth} for name, depth in (("before", 0.0), ("after", 2.5))}
    (run / "metrics.json").write_text(json.dumps(stored))
    compare([run], None)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["run", "before", "0.5000", "0.5000", "0.5000", "0.5000", "0.00"] in shown
    assert next(row for row in shown if row[:2] == ["run", "after"])[2:4] == ["1.0000", "1.0000"]
    with pytest.raises(UserError, match="at least two runs, or one with several evaluate stages"):
        compare([finished(tmp_path / "single", [1])], None)
