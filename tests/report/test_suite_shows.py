"""Tables and figures of suites, made of a run that is there: segments, times, curves, bars, depths."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit.core import metrics
from lasar_kit.core.metrics import HISTORY_IN
from lasar_kit.data import stored_dataset
from lasar_kit.errors import UserError
from lasar_kit.report.compare import Evaluated
from lasar_kit.report.formats import as_csv, latex, markdown
from lasar_kit.report.grid import Column, Grid, Row, Told, shown
from lasar_kit.report.suite import Ran, tables, write
from lasar_kit.report.suite.segments import segments
from lasar_kit.report.suite.tables import times
from lasar_kit.spec.suite import At, Suite

SHOWS = [
    {"use": "curves", "stage": "reason", "key": "loss", "axis": "loss (nats)"},
    {"use": "bars", "rows": ["LASAR"]},
    {"use": "depths"},
    {"use": "dynamics"},
    {"use": "by_depth", "rows": ["LASAR"]},
]


def ran(
    shop: Path, shows: list[dict[str, Any]], rows: Mapping[str, Any] | None = None, count: int = 1
) -> Ran:
    given = rows or {"LASAR": {}, "again": {}}
    suite = Suite.model_validate(
        {"name": "s", "title": "T", "spec": "x.yaml", "rows": given, "show": shows, "data": {"shop": {}}}
    )
    runs = {At(row, "", "shop"): (shop,) * count for row in given}
    return Ran(suite, runs, lambda models, batch, users: {name: 2.0 * len(name) for name in models})


def test_segments_are_counted_with_the_items_and_categories_of_their_prompts(shop: Path) -> None:
    told = segments(ran(shop, [{"use": "segments"}]), Suite.model_validate(
        {"name": "s", "spec": "x", "rows": {"LASAR": {}}, "show": [
            {"use": "segments", "printed": {"shop": {"4": [0.5, 2.0, 1.0]}}}]}
    ).show[0])  # type: ignore[arg-type]  # fmt: skip
    dataset = stored_dataset.load(shop / "stages" / "dataset")
    place = {user: number for number, user in enumerate(dataset.users)}
    categories = dataset.items["categories"].to_list()
    expected: dict[int, list[tuple[int, int]]] = {}
    offsets = np.load(shop / "stages" / "anchors" / "offsets.npy")
    texts = [
        json.loads(line) for line in (shop / "stages" / "anchors" / "texts.jsonl").read_text().splitlines()
    ]
    texts.sort(key=lambda line: (place[line["user"]], line["end"]))
    for line, count in zip(texts, np.diff(offsets).tolist(), strict=True):
        shown = dataset.train[place[line["user"]]][: line["end"]][-6:].tolist()
        expected.setdefault(count, []).append((len(shown), len({categories[item] for item in shown})))
    rows = {row.cells[0]: row.cells[1:] for row in told.rows if not row.aside}
    assert list(rows) == [f"{count} segments" if count > 1 else "1 segment" for count in sorted(expected)]
    for (name, cells), count in zip(rows.items(), sorted(expected), strict=True):
        share, length, kinds = cells
        assert isinstance(share, Told), name
        assert share.value == pytest.approx(len(expected[count]) / len(texts))
        assert (length, kinds) == pytest.approx(tuple(np.mean(expected[count], axis=0)))
    printed = [row.cells for row in told.rows if row.cells[0] == "printed"]
    assert printed == [("printed", Told(0.5, "50.0%"), 2.0, 1.0)]


def test_times_are_told_by_sample_in_all_and_beside_the_first(shop: Path) -> None:
    suite = ran(shop, [{"use": "times"}], {"LASAR": {"printed": {"shop": {"time": 0.3}}}, "slow system": {}})
    grid = times(suite, suite.suite.show[0])  # type: ignore[arg-type]
    told = [row.cells for row in grid.rows]
    assert told == [
        ("LASAR", 0.01, Told(pytest.approx(0.6), "1 s"), 1.0),
        ("printed", 0.3, None, None),
        ("slow system", 0.022, Told(pytest.approx(1.32), "1 s"), 2.2),
    ]


def test_a_figure_is_written_in_four_forms_with_its_numbers(shop: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")
    write(ran(shop, SHOWS[:1], count=2), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"s.png", "s.svg", "s.pdf", "s.csv", "s.json"}
    first, *lines = (tmp_path / "s.csv").read_text().splitlines()
    assert first == "table,row,epoch,seed,loss"
    losses = [line for line in logged(shop, "reason") if "loss" in line]
    assert len(lines) == len(losses) * 2 * 2, "two rows, two seeds"
    assert lines[0].split(",")[1:] == ["LASAR", str(losses[0]["epoch"]), "0", str(losses[0]["loss"])]


def logged(shop: Path, stage: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (shop / "stages" / stage / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("unchanged", [True, False])
def test_a_row_that_is_the_model_before_rl_says_so(shop: Path, tmp_path: Path, unchanged: bool) -> None:
    run = shutil.copytree(shop, tmp_path / "run")
    stored = json.loads((run / "metrics.json").read_text())
    stored["evaluate"].pop("unchanged_by", None)
    (run / "metrics.json").write_text(
        json.dumps(stored | {"evaluate": stored["evaluate"] | ({"unchanged_by": "rl"} if unchanged else {})})
    )
    of = ran(run, [{"use": "table", "metrics": ["hr@10"]}])
    (grid, *_) = tables.metrics(of, of.suite.show[0], full=False)  # type: ignore[arg-type]
    line = "is the model before rl: no update of rl made it better on validation"
    assert [note for note in grid.notes if line in note] == [f"LASAR {line}", f"again {line}"] * unchanged


def test_figures_hold_the_numbers_of_the_runs(shop: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")
    from lasar_kit.report.suite import figures

    of: Any = ran(shop, SHOWS)
    twice: Any = ran(shop, SHOWS, {"LASAR": {"printed": {"shop": {"hr@10": 0.125}}}}, count=2)
    _, bars, depths, dynamics, by_depth = of.suite.show
    report = json.loads((shop / "metrics.json").read_text())["evaluate"]
    (row,) = figures.bars(of, bars, "b", "shop").data.rows
    assert row.cells[0] == "LASAR"
    assert row.cells[1] == pytest.approx(report["history_in"]["hr@10"])
    assert row.cells[2] < row.cells[1] < row.cells[3], "the interval over users"  # type: ignore[operator]
    (row,) = figures.bars(twice, bars, "b", "shop").data.rows
    assert row.cells[1:] == pytest.approx((row.cells[1], row.cells[1], row.cells[1], 0.125)), "no deviation"
    shares = np.array([row.cells for row in figures.depths(of, depths, "d", "shop").data.rows])
    assert shares[:, 1:].sum(0) == pytest.approx([1.0, 1.0])
    assert (shares[:, 0] * shares[:, 1]).sum() == pytest.approx(report["mean_depth"])
    updates = [line for line in logged(shop, "rl") if "reward" in line]
    assert [row.cells for row in figures.dynamics(of, dynamics, "r", "shop").data.rows] == [
        (line["step"], line["depth"], line["reward"]) for line in updates
    ]
    drawn = figures.by_depth(of, by_depth, "n", "shop").data
    counts = dict(zip([column.name for column in drawn.columns[1:]], drawn.rows[0].cells[1:], strict=True))
    assert counts == {depth: row["users"] for depth, row in report["by_depth"].items()}
    assert [cell.value for cell in drawn.rows[1].cells[1:]] == pytest.approx(  # type: ignore[union-attr]
        [row["hr@10"] for row in report["by_depth"].values()]
    )


def test_what_no_run_has_ends_in_a_line(shop: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")
    from lasar_kit.report.suite import figures

    shows = [{"use": "curves", "stage": "reason", "key": "los"}, {"use": "dynamics", "stage": "ground"}]
    of: Any = ran(shop, shows)
    with pytest.raises(UserError, match="no run logged los in a stage reason"):
        figures.curves(of, of.suite.show[0], "c", "shop")
    with pytest.raises(UserError, match="no updates with depths and rewards in a stage ground"):
        figures.dynamics(of, of.suite.show[1], "c", "shop")


def evaluated(hits: list[tuple[int, ...]], users: int = 200) -> Evaluated:
    """Under each seed so many of the users have their item on place 1, the others have it nowhere."""
    per_seed = []
    for seed in hits:
        rank = np.array([1] * seed[0] + [0] * (users - seed[0]))
        per_seed.append(metrics.per_user(rank, np.ones_like(rank)))
    values = {name: np.stack([one[name] for one in per_seed]) for name in per_seed[0]}
    targets = {str(user): "x" for user in range(users)}
    return Evaluated("r", "e", "", targets, {HISTORY_IN: values}, np.full(len(hits), 2.5))


def test_marks_and_changes_of_a_table_by_hand() -> None:
    """Of 200 users: 30 and 40 hits under two seeds, then 100 and 102, then 36 and 36."""
    rows = {"a": {}, "b": {"printed": {"d": {"hr@10": 0.5, "depth": 3.0}}}, "c": {}}
    show = {"use": "table", "metrics": ["hr@10"], "depth": True, "change": "above", "of": "hr@10"}
    suite = Suite.model_validate({"name": "s", "spec": "x", "rows": rows, "data": {"d": {}}, "show": [show]})
    read = {
        At("a", "", "d"): evaluated([(30,), (40,)]),
        At("b", "", "d"): evaluated([(100,), (102,)]),
        At("c", "", "d"): evaluated([(36,), (36,)]),
    }
    of = Ran(suite, {at: (Path(), Path()) for at in read}, lambda *asked: {}, read)
    (grid,) = tables.metrics(of, suite.show[0], full=False)  # type: ignore[arg-type]
    assert [[shown(cell, column) for cell, column in zip(row.cells, grid.columns, strict=True)]
            for row in grid.rows] == [
        ["a", "0.1750 ± 0.0354", "2.50", "–"],
        ["b", "0.5050 ± 0.0071 **", "2.50", "+188.6%"],
        ["printed", "0.5000", "3.00", ""],
        ["c", "0.1800 ± 0.0000", "2.50", "-64.4%"],
    ]  # fmt: skip
    (full,) = tables.metrics(of, suite.show[0], full=True)  # type: ignore[arg-type]
    asides = [row.cells[:2] for row in full.rows if row.aside]
    assert [name for name, _ in asides] == [
        "sd of 2 seeds",
        "sd of 2 seeds",
        "p",
        "printed",
        "sd of 2 seeds",
        "p",
    ]
    p = {place: value for place, (name, value) in enumerate(asides) if name == "p"}
    assert p[2] == pytest.approx(2 / 10_001), "the smallest there is, twice for two rows"
    assert p[5] > 0.05  # type: ignore[operator]


def test_blocks_of_a_table_are_ranked_apart_and_stand_under_their_names() -> None:
    columns = (Column("model"), Column("HR@10", best=True))
    rows = [Row((name, value), group=data) for data, name, value in
            (("A_1", "x", 0.1), ("A_1", "y", 0.2), ("B", "x", 0.9), ("B", "y", 0.8))]  # fmt: skip
    grid = Grid("t", columns, tuple(rows))
    assert grid.places(1) == {1: 0, 0: 1, 2: 0, 3: 1}
    text = markdown([grid])
    assert text.splitlines()[4:] == [
        "| *A\\_1* | |", "| x | 0.1000 |", "| y | **0.2000** |",
        "| *B* | |", "| x | **0.9000** |", "| y | 0.8000 |",
    ]  # fmt: skip
    ruled = [line.strip() for line in latex([grid]).splitlines() if "multi" in line or "midrule" in line]
    assert ruled == [
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{A\_1}} \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{B}} \\",
    ]
    assert as_csv([grid]).splitlines()[:2] == ["table,group,model,HR@10", "t,A_1,x,0.1"]
