"""Suites as files: what they plan, and what is wrong with them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.report.published import FILE
from lasar_kit.spec import load_spec
from lasar_kit.spec.suite import At, load_suite
from tests.small import SHOP, SUITES, TUTORIALS

SUITE = """\
title: Two ways
spec: shop.yaml
columns: {narrow: {}, wide: {backbone: {hidden_size: 24}}}
data: {small: {use: demo, users: 60, items: 60}, mine: {use: csv, interactions: mine.csv}}
rows:
  as it is: {printed: {small: {narrow: {hr@10: 0.5}}}}
  no RL: {set: {stages: {rl: null, reason: {aligner: none}}}}
scales:
  large: {seeds: 3, data: {big: {use: demo, users: 90, items: 60}}}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(SHOP)
    (tmp_path / "two.yaml").write_text(SUITE)
    return tmp_path / "two.yaml"


def load_all(
    path: Path, scale: str | None = None, spec: Path | None = None, data: Sequence[str] = ()
) -> None:
    loaded, catalogue = load_suite(path, scale, spec, data), Catalogue.discover()
    loaded.check_stages(
        {one.at: load_spec(one.spec, one.changes, catalogue).spec.stages for one in loaded.planned()}
    )


def lines(path: Path, old: str, new: str, **options: Any) -> tuple[str, ...]:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError) as error:
        load_all(path, **options)
    return tuple(line.replace(f"{path.parent}/", "") for line in error.value.lines)


def test_every_place_is_a_spec_with_the_changes_of_data_row_and_column(suite: Path) -> None:
    planned = load_suite(suite).planned()
    assert [one.at for one in planned[:4]] == [
        At("as it is", "narrow", "small"), At("as it is", "wide", "small"),
        At("no RL", "narrow", "small"), At("no RL", "wide", "small"),
    ]  # fmt: skip
    assert [one.folder for one in planned[2:5]] == [
        "two-no-rl-narrow-small", "two-no-rl-wide-small", "two-as-it-is-narrow-mine"
    ]  # fmt: skip
    spec = load_spec(planned[-1].spec, planned[-1].changes, Catalogue.discover()).spec
    assert list(spec.stages) == ["tokenize", "ground", "anchors", "reason", "evaluate"]
    assert spec.stages["reason"].aligner.use == "none"  # type: ignore[attr-defined]
    assert spec.backbone.hidden_size == 24  # type: ignore[attr-defined]
    assert str(spec.dataset.interactions) == str(suite.parent / "mine.csv")  # type: ignore[attr-defined]


def test_a_scale_replaces_keys_and_the_command_line_the_data(suite: Path) -> None:
    large = load_suite(suite, "large")
    assert (large.suite.seeds, list(large.suite.data)) == (3, ["big"])
    given = load_suite(suite, data=["B=some/Beauty", "C={use: csv, interactions: c.csv}", "D=demo"]).suite
    assert given.data == {
        "B": {"use": "lcrec", "path": "some/Beauty"},
        "C": {"use": "csv", "interactions": "c.csv"},
        "D": {"use": "demo"},
    }
    other = suite.parent / "other.yaml"
    other.write_text(SHOP)
    assert {one.spec for one in load_suite(suite, spec=other).planned()} == {other}
    assert load_suite(suite).suite.reference == "as it is"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("rows:", "against: no rl\nrows:", "two.yaml:5: against: no row is called 'no rl'; did you mean "
         "'no RL'?"),
        ("{set:", "{sets:", "two.yaml:7: rows.no RL.sets: unknown key; did you mean 'set'?"),
        ("rl: null", "rll: {epochs: 1}", "two.yaml:7: stages.rll.use: is missing: which stage?; did you mean "
         "'rl'?"),
        ("aligner: none", "epochs: -1", "two.yaml:7: stages.reason.epochs: must be > 0 (got -1)"),
        ("hidden_size: 24", "hidden_sise: 24", "two.yaml:3: backbone.hidden_sise: unknown option of qwen3; "
         "did you mean 'hidden_size'?"),
        ("spec: shop.yaml\n", "", "two.yaml:5: rows.as it is: has no 'spec', and the suite has none either"),
        ("shop.yaml", "shp.yaml", "two.yaml:2: spec: no such file: shp.yaml; did you mean 'shop.yaml'?"),
        ("{set:", "{spec: non.yaml, set:", "two.yaml:7: rows.no RL.spec: no such file: non.yaml"),
        ("{set:", "{spec: preset:beuty/lasar, set:", "two.yaml:7: rows.no RL.spec: preset:beuty/lasar: no "
         "such preset; did you mean 'beauty/lasar'?"),
        ("rows:", "show: [{rows: []}]\nrows:", "two.yaml:5: show[0]: use: is missing; valid: bars, by_depth, "
         "curves, depths, dynamics, segments, table, times"),
        ("rows:", "show: [{use: tables}]\nrows:", "two.yaml:5: show[0]: use: is no kind of table or figure "
         "(got 'tables'); did you mean 'table'?"),
        ("rows:", "show: [{use: bars, metric: hr10}]\nrows:", "two.yaml:5: show[0].metric: must be 'hr@5', "
         "'hr@10', 'hr@20', 'ndcg@5', 'ndcg@10' or 'ndcg@20'; did you mean 'hr@10'? (got 'hr10')"),
        ("rows:", "show: [{use: bars, rows: [x]}]\nrows:", "two.yaml:5: show[0].rows: no row is called 'x'; "
         "valid: as it is, no RL"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_line_with_its_place(suite: Path, old: str, new: str, line: str) -> None:
    assert line in lines(suite, old, new)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rows:", "show: [{use: curves, stage: reasn}]\nrows:", ["two.yaml:5: show[0].stage: no run has a "
         "stage 'reasn'; did you mean 'reason'?"]),
        ("rows:", "show: [{use: dynamics, stage: rll}]\nrows:", ["two.yaml:5: show[0].stage: no run of "
         "'as it is' has a stage 'rll'; did you mean 'rl'?"]),
        ("rows:", "show: [{use: table}, {use: curves, stage: rl}, {use: dynamics, rows: [no RL]}]\nrows:",
         ["two.yaml:5: show[2].stage: no run of 'no RL' has a stage 'rl'; valid: anchors, evaluate, ground, "
          "reason, tokenize"]),
        ("rows:", "stage: evalute\nrows:", ["two.yaml:5: stage: no stage 'evalute' of 'as it is' ranks "
         "items; did you mean 'evaluate'?"]),
        ("rows:", "stage: reason\nrows:", ["two.yaml:5: stage: no stage 'reason' of 'as it is' ranks items; "
         "valid: evaluate"]),
        ("rl: null", "evaluate: null", ["two.yaml:7: rows.no RL: no stage of it ranks items; give it one "
         "that is an 'evaluate'"]),
        ("rl: null", "evaluate: null, last: evaluate", []),
        ("rows:", "show: [{use: curves, stage: rl}, {use: dynamics}]\nrows:", []),
    ],
)  # fmt: skip
def test_a_stage_that_no_run_has_is_told_before_any_runs(
    suite: Path, old: str, new: str, told: list[str]
) -> None:
    if told:
        assert list(lines(suite, old, new)) == told
        return
    suite.write_text(suite.read_text().replace(old, new))
    load_all(suite)


def test_a_scale_and_data_that_are_not_there(suite: Path) -> None:
    (line,) = lines(suite, "Two", "Two", scale="larg")
    assert line == "--scale larg: two.yaml has no such scale; did you mean 'large'?"
    (line,) = lines(suite, "Two", "Two", spec=Path("gone.yaml"))
    assert line == f"--spec: no such file: {Path.cwd() / 'gone.yaml'}"
    assert lines(suite, "Two", "Two", data=["B"]) == ("--data B: must read NAME=SOURCE",)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_suite_of_the_paper_plans_all_its_runs(path: Path) -> None:
    """At each of its scales: every cell is a valid spec, whose stages have what they read, as has what is
    shown."""
    scales = [None, *load_suite(path).suite.scales]
    assert scales == [None, "paper"]
    for scale in scales:
        load_all(path, scale)


def test_a_suite_that_comes_with_the_kit_goes_by_its_name() -> None:
    named = load_suite(Path("preset:paper/table3"))
    assert named.suite == load_suite(TUTORIALS / "paper" / "table3.yaml").suite
    with pytest.raises(UserError, match=r"preset:paper/tabel3: no such suite; did you mean 'paper/table3'\?"):
        load_suite(Path("preset:paper/tabel3"))


def test_the_paper_has_a_suite_for_each_table_and_figure_of_runs() -> None:
    wanted = [*(f"table{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9)), "figure3", "figure4", "figure5"]
    assert sorted(path.stem for path in SUITES) == sorted(wanted)


def test_printed_numbers_are_those_that_pages_show() -> None:
    """Table 1 stands in two places: beside a suite's rows, and on the page of a run on a known data set."""
    rows = load_suite(TUTORIALS / "paper" / "table1.yaml").suite.rows
    for data in tomllib.loads(FILE.read_text())["data"]:
        for figure in data["figures"]:
            name = data["name"].split()[1]
            if figure["source"] == "LASAR, Table 1" and figure["model"] in rows:
                told = {key: value for key, value in figure.items() if "@" in key}
                assert rows[figure["model"]].printed[name] == told
