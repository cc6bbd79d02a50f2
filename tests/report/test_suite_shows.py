"""Tables and figures of suites, made of a run that is there: segments, times, curves, bars, depths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit.data import stored_dataset
from lasar_kit.report.formats import as_csv, latex, markdown
from lasar_kit.report.grid import Column, Grid, Row, Told
from lasar_kit.report.suite import Ran, write
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
    texts = [json.loads(line) for line in (shop / "stages" / "anchors" / "texts.jsonl").open()]
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
        ("LASAR", 0.01, Told(0.6, "1 s"), 1.0),
        ("printed", 0.3, None, None),
        ("slow system", 0.022, Told(1.32, "1 s"), 2.2),
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_every_figure_is_written_in_four_forms(shop: Path, tmp_path: Path, count: int) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")
    write(ran(shop, SHOWS, count=count), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"s{letter}.{kind}" for letter in "abcde" for kind in ("png", "svg", "pdf", "csv")} | {
        "s.json"
    }
    first, *lines = (tmp_path / "sa.csv").read_text().splitlines()
    assert first == "table,row,epoch,seed,loss"
    logged = [json.loads(line) for line in (shop / "stages" / "reason" / "log.jsonl").open()]
    losses = [line for line in logged if "loss" in line]
    assert len(lines) == len(losses) * 2 * count
    assert lines[0].split(",")[1:] == ["LASAR", str(losses[0]["epoch"]), "0", str(losses[0]["loss"])]
    report = json.loads((shop / "metrics.json").read_text())["evaluate"]
    bar = (tmp_path / "sb.csv").read_text().splitlines()[1].split(",")
    assert float(bar[-4]) == pytest.approx(report["history_in"]["hr@10"])
    assert float(bar[-3]) <= float(bar[-4]) <= float(bar[-2])
    shares = [line.split(",")[-2:] for line in (tmp_path / "sc.csv").read_text().splitlines()[1:]]
    assert np.sum(np.array(shares, dtype=float), axis=0) == pytest.approx([1.0, 1.0])
    rl = [json.loads(line) for line in (shop / "stages" / "rl" / "log.jsonl").open()]
    drawn = (tmp_path / "sd.csv").read_text().splitlines()[1].split(",")
    assert [float(value) for value in drawn[-3:]] == [rl[1]["step"], rl[1]["depth"], rl[1]["reward"]]


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
