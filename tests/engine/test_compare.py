"""Comparison of finished runs, from their files alone."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lasar_kit.errors import UserError
from lasar_kit.report.bootstrap import paired_bootstrap
from lasar_kit.report.compare import compare

WORDS = ("change", "relative", "p")
Shown = pytest.CaptureFixture[str]


def finished(
    folder: Path,
    ranks: list[int],
    stage: str = "evaluate",
    target: str = "t",
    ties: int = 1,
    data: str | None = None,
    depth: float = 2.5,
    label: str | None = None,
    seed: int = 0,
    **options: object,
) -> Path:
    """A run whose user n finds the target at `ranks[n]`, 0 for nowhere, of a list of which 2 are stored."""
    predictions = folder / "stages" / stage / "predictions.jsonl"
    predictions.parent.mkdir(parents=True)
    with predictions.open("w") as file:
        for user, rank in enumerate(ranks):
            line = {"user": f"u{user}", "target": target, "rank": rank, "ties": ties, "items": ["i", "j"]}
            file.write(json.dumps(line) + "\n")
    row = {"mean_depth": depth} | ({"label": label} if label else {})
    metrics, lock = folder / "metrics.json", folder / "spec.lock.yaml"
    metrics.write_text(
        json.dumps((json.loads(metrics.read_text()) if metrics.exists() else {}) | {stage: row})
    )
    spec = (
        yaml.safe_load(lock.read_text()) if lock.exists() else {"name": "lasar", "seed": seed, "stages": {}}
    )
    if data:
        spec["dataset"] = {"use": "lcrec", "path": f"files/{data}"}
    spec["stages"][stage] = {"use": "evaluate", "exclude_history": False, **options}
    lock.write_text(yaml.safe_dump(spec))
    return folder


def shown(capsys: Shown) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_metrics_and_changes_are_those_of_the_ranks(tmp_path: Path, capsys: Shown) -> None:
    first = finished(tmp_path / "first", [1, 7, 0, 0])
    second = finished(tmp_path / "second", [1, 2, 7, 15])
    compare([first, second], None)
    lines = shown(capsys)
    assert ["first", *["0.2500", "0.5000", "0.5000", "0.2500", "0.3333", "0.3333", "2.50"]] in lines
    assert any(row[:3] == ["evaluate:", "4", "users"] for row in lines)
    gains = np.array([1, 1 / np.log2(3), 1 / np.log2(8), 1 / np.log2(16)])
    ndcg = [gains[:2].sum() / 4, gains[:3].sum() / 4, gains.sum() / 4]
    second_row = next(row for row in lines if row[:1] == ["second"])
    assert second_row[1:7] == ["0.5000", "0.7500", "1.0000", *(f"{value:.4f}" for value in ndcg)]
    change, relative, p = (next(row for row in lines if row[:1] == [what]) for what in WORDS)
    before = (1 / 4, 1 / 3, 1 / 3)
    expected = [0.25, 0.25, 0.5, *(new - old for new, old in zip(ndcg, before, strict=True))]
    assert change[1:] == [f"{value:+.4f}" for value in expected]
    shares = [1.0, 0.5, 1.0, *(new / old - 1 for new, old in zip(ndcg, before, strict=True))]
    assert relative[1:] == [f"{value:+.1%}" for value in shares]
    # HR@5 differs for one user of four, 0 0 0 1: a resample's mean lies as far from 1/4 as 0 does unless
    # that user is drawn exactly once: 1 - 4 (1/4) (3/4)^3 = 0.578.
    assert float(p[1]) == pytest.approx(0.578, abs=0.02)
    assert not any(row[:2] == ["change", "to"] for row in lines), "the row above is the first"
    assert not any("Holm" in word for row in lines for word in row), "one comparison needs no correction"


def test_a_row_that_is_the_model_before_rl_is_told(tmp_path: Path, capsys: Shown) -> None:
    runs = [finished(tmp_path / f"rl-{seed}", [1, 7], seed=seed) for seed in range(3)]
    for run in runs[:2]:
        stored = json.loads((run / "metrics.json").read_text())
        stored["evaluate"]["unchanged_by"] = "rl"
        (run / "metrics.json").write_text(json.dumps(stored))
    compare([finished(tmp_path / "sft", [1, 2], keep=9), runs[0]], None)
    told = "is the model before rl: no update of rl made it better on validation"
    assert f"rl-0 {told}" in (printed := " ".join(capsys.readouterr().out.split()))
    assert printed.count("is the model before") == 1
    compare([tmp_path / "sft", *runs], None)
    assert f"lasar (2 of 3 seeds) {told}" in " ".join(capsys.readouterr().out.split())


def test_equal_runs_do_not_differ(tmp_path: Path, capsys: Shown) -> None:
    compare([finished(tmp_path / name, [3, 0, 9]) for name in ("a", "b")], "evaluate")
    lines = shown(capsys)
    assert ["change", *["+0.0000"] * 6] in lines
    assert ["relative", *["+0.0%"] * 6] in lines
    assert ["p", *["1.0000"] * 6] in lines


def test_a_third_row_is_held_against_both_and_corrected(tmp_path: Path, capsys: Shown) -> None:
    """Three comparisons a column, by Holm: the smallest p-value three times, and so on."""
    generator = np.random.default_rng(0)
    ranks = [generator.integers(0, 12, 40).tolist() for _ in range(3)]
    ranks[1] = [max(1, rank - 5) for rank in ranks[0]]
    compare([finished(tmp_path / name, own) for name, own in zip("abc", ranks, strict=True)], None, "csv")
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    hits = [np.array([0 < rank <= 5 for rank in own], dtype=float) for own in ranks]
    plain = [
        paired_bootstrap(hits[row], hits[other], np.random.default_rng(0), 10_000).p_value
        for row, other in ((1, 0), (2, 0), (2, 1))
    ]
    order = np.argsort(plain)
    corrected = np.maximum.accumulate(np.minimum(1, np.array(plain)[order] * [3, 2, 1]))
    expected = dict(zip(order.tolist(), corrected.tolist(), strict=True))
    found = [float(row["HR@5"]) for row in rows if row["line"] == "p"]
    assert found == pytest.approx([expected[place] for place in range(3)])
    above = [row for row in rows if row["line"] == "change to above"]
    assert [row["run"] for row in above] == ["c"]
    assert float(above[0]["HR@5"]) == pytest.approx(hits[2].mean() - hits[1].mean())


def test_each_data_set_has_its_table_and_all_have_one(tmp_path: Path, capsys: Shown) -> None:
    """The mean counts data sets, not users."""
    names = ("plain", "lasar")
    ranks = {"Beauty": ([1, 0, 0, 0], [1, 1, 0, 0]), "Sports": ([0, 0], [1, 1])}
    runs = [
        finished(tmp_path / f"{data}-{name}", own, data=data)
        for data, both in ranks.items()
        for name, own in zip(names, both, strict=True)
    ]
    compare(runs, None)
    lines = shown(capsys)
    titles = [row[0] for row in lines if row[1:] == ["history", "in", "the", "lists"]]
    assert titles == ["Beauty,", "Sports,"]
    start = next(
        place for place, row in enumerate(lines) if row[:5] == ["mean", "over", "2", "data", "sets,"]
    )
    over = [row for row in lines[start:] if row]
    assert over[3][:2] == ["Beauty-plain", "0.1250"]
    assert over[4][:2] == ["Beauty-lasar", "0.7500"]
    assert over[5][:2] == ["change", "+0.6250"]
    compare(runs[:3], None)
    assert "mean over" not in capsys.readouterr().out, "one of them has another model beside"


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


def test_the_models_of_one_run_are_compared(tmp_path: Path, capsys: Shown) -> None:
    run = finished(tmp_path / "run", [1, 0], stage="before", depth=0.0)
    finished(run, [1, 2], stage="after", label="LASAR [b]")
    compare([run], None)
    lines = shown(capsys)
    assert ["before", *["0.5000"] * 6, "0.00"] in lines
    assert any(row[:3] == ["run:", "2", "users"] for row in lines)
    after = next(row for row in lines if row[:1] == ["LASAR"])
    assert after[1:4] == ["[b]", "1.0000", "1.0000"]
    with pytest.raises(UserError, match="at least two runs, or one with several evaluate stages"):
        compare([finished(tmp_path / "single", [1])], None)


def test_a_hit_among_items_of_one_sid_is_shared(tmp_path: Path, capsys: Shown) -> None:
    """At rank 4 with 4 items in one place the target is one of ranks 4 to 7: HR@5 2/4, HR@10 1."""
    first, second = finished(tmp_path / "a", [4, 0], ties=4), finished(tmp_path / "b", [0, 9], ties=4)
    compare([first, second], None)
    lines = shown(capsys)
    ndcg = [1 / np.log2(rank + 1) for rank in (4, 5, 6, 7)]
    expected = [0.5 / 2, 1 / 2, 1 / 2, sum(ndcg[:2]) / 4 / 2, sum(ndcg) / 4 / 2, sum(ndcg) / 4 / 2]
    assert next(row for row in lines if row[:1] == ["a"])[1:7] == [f"{value:.4f}" for value in expected]
    assert next(row for row in lines if row[:1] == ["b"])[1:3] == [
        "0.0000",
        "0.2500",
    ]  # rank 9 or 10 of 9 to 12


def test_seeds_of_one_spec_are_one_row(tmp_path: Path, capsys: Shown) -> None:
    """HR@5 by seed 1/4, 2/4, 3/4: mean 1/2, deviation 1/4; users' means 1, 2/3, 1/3, 0."""
    ranks = ([1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0])
    seeds = [finished(tmp_path / f"s{n}", ranks[n], seed=n, depth=n) for n in range(3)]
    plain = finished(tmp_path / "plain", [1, 0, 0, 7], seed=1, keep=5)
    compare([plain, *seeds], None)
    lines = shown(capsys)
    row = next(row for row in lines if row[:1] == ["lasar"])
    assert row[1:] == [*["0.5000"] * 6, "1.00"]
    below = lines[lines.index(row) + 1 :]
    assert below[0] == [*["sd", "of", "3", "seeds"], *["±", "0.2500"] * 6, "±", "1.00"]
    means, one = np.array([1, 2 / 3, 1 / 3, 0]), np.array([1.0, 0, 0, 0])
    found = paired_bootstrap(means, one, np.random.default_rng(0), 10_000)
    assert below[1][:3] == ["change", "+0.2500", "+0.0000"]
    assert below[3][:2] == ["p", f"{found.p_value:.4f}"]


def test_a_spec_is_compared_with_itself_over_seeds_model_by_model(tmp_path: Path, capsys: Shown) -> None:
    runs = [finished(tmp_path / f"s{n}", [1, 0], stage="before", seed=n) for n in range(2)]
    compare(runs, None)
    starts = [row[:2] for row in shown(capsys)]
    assert starts[starts.index(["lasar", "0.5000"]) + 1] == ["sd", "of"]
    for run in runs:
        finished(run, [1, 2], stage="after")
    compare(runs, None)
    assert [row[0] for row in shown(capsys) if row[:1] in (["before"], ["after"])] == ["before", "after"]
    again = finished(tmp_path / "again", [1, 0], stage="after")  # another run of a seed is a row of its own
    finished(again, [1, 2], stage="before")
    compare([runs[0], finished(tmp_path / "twin", [1, 0], stage="before")], "before")
    assert [row[0] for row in shown(capsys) if row[:1] in (["s0"], ["twin"])] == ["s0", "twin"]


def test_lists_with_and_without_histories_do_not_compare(tmp_path: Path) -> None:
    first, second = finished(tmp_path / "a", [1]), finished(tmp_path / "b", [1], exclude_history=True)
    with pytest.raises(UserError, match="b evaluate leaves histories out of its lists, a evaluate does not"):
        compare([first, second], None)


def test_each_protocol_is_compared_by_itself(tmp_path: Path, capsys: Shown) -> None:
    """Whatever the headline of a run is. The first user finds the target with the history in the lists, the
    second without; b finds it later there."""
    runs = [finished(tmp_path / name, [1, 0], exclude_history=name == "b") for name in ("a", "b")]
    for run, late in zip(runs, (1, 9), strict=True):
        path = run / "stages" / "evaluate" / "predictions.jsonl"
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        for line, (inside, outside) in zip(lines, ((1, 0), (0, late)), strict=True):
            line["history_in"] = {"rank": inside, "ties": 1}
            line["history_out"] = {"rank": outside, "ties": 1}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    compare(runs, None)
    rows = shown(capsys)
    titles = ["history in the lists", "history left out of the lists"]
    assert [" ".join(line) for line in rows if line[:1] == ["history"]] == titles
    assert [line[:3] for line in rows if line[:1] in (["a"], ["b"])] == [
        ["a", "0.5000", "0.5000"],
        ["b", "0.5000", "0.5000"],
        ["a", "0.5000", "0.5000"],
        ["b", "0.0000", "0.5000"],
    ]
    old = finished(tmp_path / "old", [1, 0], exclude_history=True)
    compare([runs[0], old], None)  # the one protocol that both know
    assert [" ".join(line) for line in shown(capsys) if line[:1] == ["history"]] == titles[1:]
    plain = finished(tmp_path / "plain", [1, 0])
    with pytest.raises(
        UserError, match="old evaluate leaves histories out of its lists, plain evaluate does"
    ):
        compare([runs[0], old, plain], None)


def test_stages_without_predictions_are_passed_over(tmp_path: Path, capsys: Shown) -> None:
    run, other = finished(tmp_path / "a", [1]), finished(tmp_path / "b", [1])
    for folder in (run, other):
        stored = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(stored | {"coverage": {"items": 3}}))
    compare([run, other], None)
    assert ["b", "1.0000"] in [row[:2] for row in shown(capsys)]
    with pytest.raises(UserError, match="a: no evaluate stage 'coverage'"):
        compare([run, other], "coverage")
