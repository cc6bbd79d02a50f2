"""docs/metrics.md tells every key that a small LASAR run with all tasks writes, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import metrics
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from tests.engine.cut import SPEC

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TASKS = (
    "stages.ground.tasks={text_to_sid: 1, sid_to_text: 1, history_to_title: 1, titles_to_sid: 1}",
    "stages.ground.reasoning_text={weight: 1, teacher: template}",
    "stages.ground.epochs=1",
    "stages.rl.epochs=1",
    "stages.rl.refill=1",
    "stages.evaluate={use: evaluate, label: LASAR}",
)


def told(file: str) -> set[str]:
    """The keys in the first column of a file's table."""
    section = re.search(
        rf"^## {re.escape(file)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert section is not None, file
    cells = re.findall(r"^\| (`.*?) \|", section[1], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def written(run: Path, file: str) -> set[str]:
    """The keys that a run wrote, numbers in their names left out."""
    if file == "metrics.json":
        rows = json.loads((run / file).read_text()).values()
    else:
        rows = [json.loads(line) for line in (run / file).read_text().splitlines()]
    return {re.sub(r"^depth_\d+$", "depth_<n>", key) for row in rows for key in row}


def check_told(run: Path) -> None:
    """Fails on a key that the page does not have."""
    for file in ("metrics.json", "predictions.jsonl", "log.jsonl"):
        untold = written(run, file) - told(file)
        assert not untold, f"docs/metrics.md does not tell what these are in {file}: {sorted(untold)}"


@pytest.fixture(scope="module")
def lasar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lasar")
    (folder / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "lasar.yaml", TASKS, catalogue), catalogue, folder / "run", True)
    return folder / "run"


def test_every_key_that_is_written_is_told(lasar: Path) -> None:
    check_told(lasar)


@pytest.mark.parametrize("file", ["metrics.json", "predictions.jsonl", "log.jsonl"])
def test_every_key_that_is_told_is_written(lasar: Path, file: str) -> None:
    # The names in a row of `baselines` or of a protocol are no keys here, nor is what a second objective of
    # one kind is called. A row has `unchanged_by` only where RL kept the model before it, `cold` where items
    # are held out, and `shortened_histories` where a prompt's `max_length` cut some.
    sometimes = {"unchanged_by", "cold", "shortened_histories"}
    assert told(file) - written(lasar, file) - sometimes == set()


def test_a_key_that_is_not_told_is_found(lasar: Path, tmp_path: Path) -> None:
    for file in ("metrics.json", "predictions.jsonl", "log.jsonl"):
        (tmp_path / file).write_text((lasar / file).read_text())
    check_told(tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"stage": "rl", "step": 1, "entropy_of_answers": 0.5}) + "\n")
    with pytest.raises(AssertionError, match="entropy_of_answers"):
        check_told(tmp_path)


def test_by_depth_and_baselines_hold_the_metrics(lasar: Path) -> None:
    row = json.loads((lasar / "metrics.json").read_text())["evaluate"]
    names = {f"{name}@{k}" for name in ("hr", "ndcg") for k in metrics.CUTOFFS}
    assert names <= told("metrics.json")
    assert all(set(found) == names | {"users"} for found in row["by_depth"].values())
    for part in (row, row["history_in"], row["history_out"]):
        assert all(set(found) == names | {"short_lists"} for found in part["baselines"].values())
        assert set(part["baselines"]) == {"popularity", "item_knn", "item_knn_directed", "random"}
    assert set(row["history_out"]) == {*names, "short_lists", "baselines", "ceiling"}


def test_the_hook_hears_what_the_log_gets(lasar: Path) -> None:
    """As its documentation says: updates from 1, validations of their own, and one with step 0 in RL."""
    lines = [json.loads(line) for line in (lasar / "log.jsonl").read_text().splitlines()]
    rl = [line for line in lines if line["stage"] == "rl"]
    assert rl[0]["step"] == 0
    assert all("loss" not in line for line in lines if "validation_loss" in line)
    assert {line["step"] > 0 for line in lines if line["stage"] != "rl"} == {True}
