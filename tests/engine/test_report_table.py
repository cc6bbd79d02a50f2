"""The table at the end of a run, and of `lasar-kit report`."""

import json
from pathlib import Path

import pytest

from lasar_kit.errors import UserError
from lasar_kit.report.table import SHOWN, report


def row(value: float, **more: object) -> dict[str, object]:
    return {name: value + place / 100 for place, name in enumerate(SHOWN)} | more


def shown(run: Path, metrics: object, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    run.mkdir(exist_ok=True)
    (run / "metrics.json").write_text(json.dumps(metrics))
    report(run)
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.split()]


def test_models_stand_in_order_under_their_labels_behind_baselines_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"users": 1200, "baselines": {"popularity": row(0.1), "item_knn": row(0.2)}}
    metrics = {
        "plain": row(0.3, mean_depth=0.0, label="No [thoughts]", **same),
        "other": row(0.4, mean_depth=7.104, **same),
    }
    lines = shown(tmp_path, metrics, capsys)
    assert lines[0] == ["model", "HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20", "mean", "N"]
    assert lines[2:] == [
        ["1,200", "users"],
        ["popularity", "0.1000", "0.1100", "0.1200", "0.1300", "0.1400", "0.1500"],
        ["item_knn", "0.2000", "0.2100", "0.2200", "0.2300", "0.2400", "0.2500"],
        ["No", "[thoughts]", "0.3000", "0.3100", "0.3200", "0.3300", "0.3400", "0.3500", "0.00"],
        ["other", "0.4000", "0.4100", "0.4200", "0.4300", "0.4400", "0.4500", "7.10"],
    ]


def test_baselines_asked_something_else_are_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {
        name: row(0.5, mean_depth=0, users=9, baselines={"popularity": row(value)})
        for name, value in (("test", 0.1), ("validation", 0.2))
    }
    first = [line[0] for line in shown(tmp_path, metrics, capsys)[2:]]
    assert first == ["9", "popularity", "test", "9", "popularity", "validation"]


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "is not the folder of a finished run"),
        ("{", "holds no metrics"),
        ("{}", "has no evaluate stage"),
    ],
)
def test_a_folder_without_results_is_a_mistake(tmp_path: Path, stored: str | None, message: str) -> None:
    if stored is not None:
        (tmp_path / "metrics.json").write_text(stored)
    with pytest.raises(UserError, match=message):
        report(tmp_path)
