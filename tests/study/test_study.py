"""The command `lasar-kit study`: its page, what it reuses, what it writes."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lasar_kit.report import study as shown
from lasar_kit.report.compare import over_seeds_of
from tests.pages import follow, in_process

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "study.md"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, followed to the letter."""
    folder = tmp_path_factory.mktemp("study")
    follow(PAGE.read_text(), folder, in_process)
    return folder


def test_the_numbers_are_those_of_the_runs(done: Path) -> None:
    runs = done / "runs" / "study-think"
    found = json.loads((runs / "study.json").read_text())
    assert list(found["rows"]) == [
        "as it is", "no thoughts", "pause positions", "noise thoughts", "N = 1 for all"
    ]  # fmt: skip
    kinds = [(row["kind"], folder) for row, folder in zip(
        found["rows"].values(), ("spec", "none", "pause", "noise", "fixed-1"), strict=True
    )]  # fmt: skip
    users = {}
    for (_, folder), row in zip(kinds, found["rows"].values(), strict=True):
        for seed in (0, 1):
            told = json.loads((runs / f"{folder}-{seed}" / "metrics.json").read_text())["evaluate"]
            assert row["ndcg@10"][seed] == pytest.approx(told["history_in"]["ndcg@10"])
            assert row["depth"][seed] == told["mean_depth"]
        assert row["ms_a_user"] > 0
        evaluated = over_seeds_of([runs / f"{folder}-{seed}" for seed in (0, 1)], "evaluate")
        users[folder] = evaluated.values["history_in"]["ndcg@10"]
    contrasts = {one["name"]: one for one in found["contrasts"]}
    change = float(np.mean(users["spec"]) - np.mean(users["none"]))
    assert contrasts["no thoughts"]["difference"] == pytest.approx(change)
    assert found["verdict"].endswith(".")
    forced = json.loads((runs / "spec-1" / "metrics.json").read_text())["depth_1"]
    assert found["by_depth"]["1"]["ndcg@10"][1] == pytest.approx(forced["history_in"]["ndcg@10"])
    assert (runs / "study.svg").is_file() == (importlib.util.find_spec("matplotlib") is not None)


def test_stages_in_common_are_made_once_and_what_is_there_stays(done: Path) -> None:
    runs = done / "runs" / "study-think"
    keys = {json.loads(path.read_text())["key"] for path in runs.glob("*-0/stages/tokenize/artifact.json")}
    assert len(keys) == 1
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/stages/*/artifact.json")}
    again = in_process("lasar-kit study think.yaml --seeds 2 --max-depth 1 --dry-run", done)
    assert "as it is: 2 of 2 runs are there" in again.stdout
    (runs / "noise-1" / "metrics.json").unlink()
    again = in_process("lasar-kit study think.yaml --seeds 2 --max-depth 1", done)
    assert "9 of 10 runs are there, 1 left" in again.stdout
    assert "run 1 of 1: noise thoughts, seed 1" in again.stdout
    kept = {path: path.stat().st_mtime_ns for path in before}
    assert kept == before


def test_a_spec_that_does_not_think_or_is_wrong_ends_in_a_line(done: Path) -> None:
    plain = in_process("lasar-kit study think.yaml --set stages.reason.latent_loop=none", done)
    assert plain.returncode == 2
    assert re.fullmatch(r"think\.yaml: no stage thinks .*: nothing to study\n", plain.stderr)
    wrong = in_process("lasar-kit study think.yaml --set stages.reason.epochs=-1", done)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("--set stages.reason.epochs: stages.reason.epochs: must be > 0")


def test_bars_stand_where_there_is_no_figure(
    done: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = done / "runs" / "study-think"
    ran = [
        shown.Control(name, kind, (runs / f"{folder}-0", runs / f"{folder}-1"))
        for name, kind, folder in (("as it is", "spec", "spec"), ("no thoughts", "none", "none"))
    ]
    found = shown.Study.of(ran, "evaluate", {}, {"pause positions": "refused"}, {}, False)
    printed: list[object] = []

    class Page:
        def print(self, *values: object) -> None:
            printed.extend(values)

    monkeypatch.setattr(shown, "find_spec", lambda name: None)
    found.show(Page())  # type: ignore[arg-type]
    bars = next(str(one) for one in printed if "█" in str(one))
    best = max(found.seeds(row, "ndcg@10").mean() for row in found.rows.values())
    assert max(line.count("█") for line in bars.splitlines()) == shown.BAR
    assert f"{best:.4f}" in bars
    assert "not run: pause positions: refused" in printed
    found.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
