"""A spec that extends another: what it changes, what cannot be extended, and what is told of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from tests.spec.conftest import STAGES, Folder, options


def test_extending(folder: Folder) -> None:
    loaded = folder.load(
        base="name: first\nseed: 1\nprompt: {rate: 0.5}\n" + STAGES,
        middle="extends: base.yaml\nseed: 2\nprompt: {rate: null}\n",
        spec="extends: middle.yaml\nstages:\n  more: {use: train}\n  report: {}\n",
    )
    assert (loaded.spec.name, loaded.spec.seed) == ("spec", 2)
    assert options(loaded.spec.prompt)["rate"] is None
    assert list(loaded.spec.stages) == ["tokenize", "ground", "more", "report"]
    assert loaded.plan[-1].inputs == {"dataset": "dataset", "sids": "tokenize", "checkpoint": "more"}
    assert loaded.where("seed") == "middle.yaml:2"
    assert loaded.where("stages", "more", "use") == "spec.yaml:3"


def test_mistakes_name_the_file_they_are_in(folder: Folder) -> None:
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text("seed: -1\nprompt: {rate: 7}\n" + STAGES)
    assert folder.mistakes(
        "max_history=0", spec="extends: sub/base.yaml\nseed: -2\nstages: {report: {no: 1}}"
    ) == [
        "--set max_history: max_history: must be >= 1 (got 0)",
        "spec.yaml:2: seed: must be >= 0 (got -2)",
        "spec.yaml:3: stages.report.no: unknown option of report; valid: from, use",
        "sub/base.yaml:2: prompt.rate: must be <= 1 (got 7)",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("extends: none.yaml", "spec.yaml:1: extends: no such file: none.yaml"),
        ("seed: 1\nextends: [a]", "spec.yaml:2: extends: must be the path of a spec"),
        ("extends:", "spec.yaml:1: extends: must be the path of a spec"),
        ("extends: spec.yaml", "spec.yaml:1: extends: goes round in a circle: spec.yaml -> spec.yaml"),
    ],
)
def test_what_cannot_be_extended(folder: Folder, text: str, line: str) -> None:
    assert folder.mistakes(spec=text) == [line]


def test_a_file_that_is_not_there_may_be_the_one_beside_it(folder: Folder) -> None:
    Path("base.yaml").write_text(STAGES)
    for name in ("bsae.yaml", "base", "./base.yml"):
        (line,) = folder.mistakes(spec=f"extends: {name}")
        assert line.endswith("; did you mean 'base.yaml'?")
    with pytest.raises(UserError, match=r"^base: no such file; did you mean 'base.yaml'\?$"):
        load_spec(Path("base"), (), folder.catalogue)


def test_a_stage_that_is_changed_by_a_wrong_name(folder: Folder) -> None:
    Path("base.yaml").write_text(STAGES)
    extending = "extends: base.yaml\nstages: {grond: {epochs: 3}}\n"
    assert folder.mistakes("stages.reprt.from=ground", "stages.x.epochs=1", spec=extending) == [
        "--set stages.reprt.from: stages.reprt.use: is missing: which stage?; did you mean 'report'?",
        "--set stages.x.epochs: stages.x.use: is missing: which stage?",
        "spec.yaml:2: stages.grond.use: is missing: which stage?; did you mean 'ground'?",
    ]


def test_a_name_that_is_taken_back_is_that_of_the_file(folder: Folder) -> None:
    assert folder.load("name=", spec="name: mine\n" + STAGES).spec.name == "spec"
    assert folder.load("name=other", spec=STAGES).spec.name == "other"


def test_a_long_circle(folder: Folder) -> None:
    files = {"spec": "extends: a.yaml", "a": "extends: b.yaml", "b": "\nextends: a.yaml"}
    assert folder.mistakes(**files) == [
        "b.yaml:2: extends: goes round in a circle: spec.yaml -> a.yaml -> b.yaml -> a.yaml"
    ]
