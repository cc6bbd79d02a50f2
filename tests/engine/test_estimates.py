"""Estimates of a dry run, against what earlier runs are said to have taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lasar_kit.catalogue import Catalogue
from lasar_kit.report.observers import spent
from lasar_kit.run.dry_run import dry_run
from lasar_kit.run.estimates import Estimate, Estimates, summary
from lasar_kit.spec import load_spec
from lasar_kit.spec.load import LoadedSpec
from lasar_kit.store.artifacts import Artifact
from tests.small import SHOP


def loaded(folder: Path, *changes: str) -> LoadedSpec:
    (folder / "spec.yaml").write_text(f"{SHOP}name: mine\n")
    return load_spec(folder / "spec.yaml", changes, Catalogue.discover())


def past(run: Path, spec: LoadedSpec, seconds: dict[str, float], memory: int = 300) -> None:
    """A run that took so long."""
    run.mkdir()
    (run / "spec.lock.yaml").write_text(spec.dump())
    for name, took in seconds.items():
        made = {"memory": memory}
        folder = run / "stages" / name
        folder.mkdir(parents=True)
        manifest = {"key": name, "report": {}, "seconds": took, "made": made, "files": {}, "sha256": {}}
        (folder / "artifact.json").write_text(json.dumps(manifest))


def judged(output: Path, spec: LoadedSpec) -> dict[str, Any]:
    estimates = Estimates(output)
    return {stage.name: estimates.of(stage, spec.spec) for stage in spec.plan}


def test_time_goes_with_epochs_and_samples(tmp_path: Path) -> None:
    past(tmp_path / "short", loaded(tmp_path), {"ground": 6.0, "rl": 4.0, "tokenize": 2.0})
    changes = ("stages.ground.epochs=30", "stages.rl.epochs=2", "stages.rl.max_samples=48")
    told = judged(tmp_path / "long", loaded(tmp_path, *changes))
    assert told["ground"] == Estimate(60.0, 300, tmp_path / "short")
    assert told["rl"].seconds == pytest.approx(4.0)
    assert told["tokenize"].seconds == 2.0
    assert told["evaluate"] is None, "none was made"
    assert told["reason"].seconds == pytest.approx(2.0), "another sft of a third of the epochs"


def test_another_data_set_or_backbone_tells_nothing(tmp_path: Path) -> None:
    past(tmp_path / "a", loaded(tmp_path), {"ground": 6.0})
    for change in ("dataset.users=70", "backbone.layers=2", "max_history=9"):
        assert judged(tmp_path / "b", loaded(tmp_path, change))["ground"] is None
    assert judged(tmp_path / "b", loaded(tmp_path, "stages.ground.optimizer.lr=0.1"))["ground"] is not None


def test_a_part_says_nothing_of_all(tmp_path: Path) -> None:
    past(tmp_path / "a", loaded(tmp_path, "stages.evaluate.max_users=10"), {"evaluate": 6.0})
    assert judged(tmp_path / "b", loaded(tmp_path))["evaluate"] is None
    half = judged(tmp_path / "b", loaded(tmp_path, "stages.evaluate.max_users=5"))
    assert half["evaluate"].seconds == pytest.approx(3.0)


def test_the_run_whose_options_differ_least_counts(tmp_path: Path) -> None:
    past(tmp_path / "a", loaded(tmp_path, "stages.ground.batch_size=8", "stages.ground.precision=bf16"),
         {"ground": 50.0})  # fmt: skip
    past(tmp_path / "b", loaded(tmp_path, "stages.ground.batch_size=8"), {"ground": 6.0})
    assert judged(tmp_path / "c", loaded(tmp_path))["ground"].by == tmp_path / "b"


def test_options_that_an_older_run_did_not_know_do_not_count(tmp_path: Path) -> None:
    past(tmp_path / "a", loaded(tmp_path), {"ground": 6.0})
    lock = tmp_path / "a" / "spec.lock.yaml"
    spec = yaml.safe_load(lock.read_text())
    del spec["backbone"]["rope_theta"]
    lock.write_text(yaml.safe_dump(spec))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "spec.lock.yaml").write_text("[")
    assert judged(tmp_path / "b", loaded(tmp_path))["ground"].seconds == 6.0


def test_a_dry_run_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = loaded(tmp_path)
    past(tmp_path / "a", spec, {"ground": 600.0, "tokenize": 2.0})
    dry_run(spec, Catalogue.discover(), tmp_path / "b", True)
    out = capsys.readouterr().out.partition("Stages of")[2]
    rows = {line.split()[1]: line.split("│")[4].strip() for line in out.splitlines() if line.startswith("│")}
    assert rows["ground"] == "run (about 10 min 0 s)"
    assert rows["evaluate"] == "run"
    assert "at most 300 MiB, as earlier runs took" in " ".join(out.split())
    assert summary({"x": None}) == "nothing to judge by: x"


def test_a_finished_run_says_where_time_went(tmp_path: Path) -> None:
    made = {"a": (100.0, {"memory": 700}), "b": (1.0, {"memory": 900}), "c": (20.0, {})}
    artifacts = {name: Artifact(tmp_path, name, {}, *rest) for name, rest in made.items()}
    assert spent(artifacts) == "2 min 1 s in all: a 1 min 40 s, c 20 s; at most 900 MiB"
