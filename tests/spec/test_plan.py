"""Which stage reads from which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec


@pytest.fixture
def plan(catalogue: Any, tmp_path: Path) -> Any:
    def of(*stages: str) -> dict[str, dict[str, str]]:
        """Stages as `name use` or `name use from`."""
        lines = ["stages:"]
        for stage in stages:
            name, use, *source = stage.split()
            lines.append(f"  {name}: {{use: {use}{', from: ' + source[0] if source else ''}}}")
        path = tmp_path / "spec.yaml"
        path.write_text("\n".join(lines))
        return {stage.name: stage.inputs for stage in load_spec(path, (), catalogue).plan}

    return of


def test_the_nearest_earlier_stage(plan: Any) -> None:
    assert plan("a tokenize", "b tokenize", "c train", "d report") == {
        "a": {"dataset": "dataset"},
        "b": {"dataset": "dataset"},
        "c": {"dataset": "dataset", "sids": "b"},
        "d": {"dataset": "dataset", "sids": "b", "checkpoint": "c"},
    }


def test_training_goes_on_from_an_earlier_checkpoint_unless_told_otherwise(plan: Any) -> None:
    found = plan("a tokenize", "b train", "c train", "d train a", "e train b")
    assert [found[name].get("checkpoint") for name in "bcde"] == [None, "b", None, "b"]


def test_from_brings_what_its_stage_was_made_with(plan: Any) -> None:
    found = plan("a tokenize", "b train", "c tokenize", "d report b")
    assert found["d"] == {"dataset": "dataset", "sids": "a", "checkpoint": "b"}


def test_an_optional_input_that_disagrees_is_left_out(plan: Any) -> None:
    assert plan("a tokenize", "b train", "c tokenize", "d train")["d"] == {"dataset": "dataset", "sids": "c"}


@pytest.mark.parametrize(
    ("stages", "line"),
    [
        (["a train"], "2: stages.a: reads sids, which no earlier stage makes"),
        (["a tokenize", "b report"], "3: stages.b: reads checkpoint, which no earlier stage makes"),
        (["a tokenize b", "b tokenize"], "2: stages.a.from: no earlier stage is called 'b'; valid: dataset"),
        (["a tokenize a"], "2: stages.a.from: no earlier stage is called 'a'; valid: dataset"),
        (
            ["ab tokenize", "c train abb"],
            "3: stages.c.from: no earlier stage is called 'abb'; did you mean 'ab'?",
        ),
        (["a tokenize", "b tokenize a"], "3: stages.b.from: 'a' makes sids, but tokenize reads dataset"),
        (
            ["a tokenize", "b train", "c tokenize", "d report"],
            "5: stages.d: reads sids of 'c' and checkpoint of 'b', which was made with sids of 'a'; "
            "say which by 'from'",
        ),
    ],
)
def test_mistakes(plan: Any, stages: list[str], line: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(*stages)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].endswith("spec.yaml:" + line)


def test_every_stage_that_lacks_something_is_told(plan: Any) -> None:
    with pytest.raises(UserError) as caught:
        plan("a train", "b tokenize x")
    assert len(caught.value.lines) == 2
