"""The tables at the end of a run, and of `lasar-kit report`."""

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
    report([run])
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.split()]


HEAD = ["model", "HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20", "mean", "N"]


def cells(value: float) -> list[str]:
    return [f"{value + place / 100:.4f}" for place in range(6)]


def test_models_stand_in_order_under_their_labels_behind_baselines_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As runs reported them that knew of one protocol, and did not say of which."""
    same = {"users": 1200, "baselines": {"popularity": row(0.1), "item_knn": row(0.2)}}
    metrics = {
        "plain": row(0.3, mean_depth=0.0, label="No [thoughts]", **same),
        "other": row(0.4, mean_depth=7.104, **same),
    }
    lines = shown(tmp_path, metrics, capsys)
    assert lines[:2] == [["1,200", "users"], HEAD]
    assert lines[3:] == [
        ["popularity", *cells(0.1)],
        ["item_knn", *cells(0.2)],
        ["No", "[thoughts]", *cells(0.3), "0.00"],
        ["other", *cells(0.4), "7.10"],
    ]


def test_baselines_asked_something_else_are_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {
        name: row(0.5, mean_depth=0, users=9, baselines={"popularity": row(value)})
        for name, value in (("test", 0.1), ("validation", 0.2))
    }
    first = [line[0] for line in shown(tmp_path, metrics, capsys) if line[0][0] != "─"]
    assert first == ["9", "model", "popularity", "test", "9", "model", "popularity", "validation"]


def test_a_row_that_is_the_model_before_rl_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {
        "sft": row(0.5, mean_depth=0, users=9),
        "last": row(0.5, mean_depth=0, users=9, unchanged_by="rl", label="LASAR [RL]"),
    }
    lines = [" ".join(line) for line in shown(tmp_path, metrics, capsys)]
    told = "LASAR [RL] is the model before rl: no update of rl made it better on validation"
    assert told in " ".join(lines)
    assert " ".join(lines).count("is the model before") == 1


def both(inside: float, outside: float, **out: object) -> dict[str, object]:
    """Return a stage's report of both protocols, its headline being that with the history."""
    beside = {"popularity": row(inside - 0.1, short_lists=2)}, {"popularity": row(outside - 0.1)}
    protocols = {
        "history_in": row(inside, baselines=beside[0], short_lists=0),
        "history_out": row(outside, baselines=beside[1], ceiling=1.0) | out,
    }
    headline = protocols["history_in"]
    return {"users": 1200, "mean_depth": 0.0, "targets_in_history": 30, **headline, **protocols}


def test_two_protocols_have_tables_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All models in each; what no list could hold, and short lists, stand below."""
    metrics = {
        "first": both(0.3, 0.4, ceiling=0.975, short_lists=1100),
        "second": both(0.3, 0.4, ceiling=0.975, short_lists=7) | {"label": "B"},
    }
    lines = shown(tmp_path, metrics, capsys)
    titles = [place for place, line in enumerate(lines) if line[1:2] == ["users,"]]
    inside, outside = lines[: titles[1]], lines[titles[1] :]
    assert [" ".join(part[0]) for part in (inside, outside)] == [
        "1,200 users, history in the lists",
        "1,200 users, history left out of the lists",
    ]
    for part, values in ((inside, (0.2, 0.3, 0.3)), (outside, (0.3, 0.4, 0.4))):
        assert [line[0] for line in part[3:6]] == ["popularity", "first", "B"]
        assert [line[1:7] for line in part[3:6]] == [cells(value) for value in values]
    assert " ".join(word for line in inside[6:] for word in line) == (
        "lists of fewer than 20 items, of 1,200: popularity 2"
    )
    assert " ".join(word for line in outside[6:] for word in line) == (
        "lists of fewer than 20 items, of 1,200: first 1,100, B 7 "
        "30 targets stand in their users' histories: HR can reach 0.9750"
    )


def test_a_run_from_before_stands_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"old": row(0.5, users=1200, baselines={}), "new": both(0.3, 0.4)}
    lines = shown(tmp_path, metrics, capsys)
    titles = [" ".join(line) for line in lines if line[1:2] in (["users"], ["users,"])]
    assert titles == [
        "1,200 users, history in the lists",
        "1,200 users, history left out of the lists",
        "1,200 users",
    ]
    assert lines[-1][:2] == ["old", "0.5000"]


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
        report([tmp_path])


def test_a_run_by_a_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "quickstart").mkdir()
    with pytest.raises(UserError, match=r"there is no such folder; did you mean 'quickstart'\?$"):
        report([tmp_path / "quikstart"])
