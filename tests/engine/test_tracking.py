"""Trackers get what the log gets."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.engine import runner
from lasar_kit.engine.tracking import Tracking
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec

SPEC = """
name: watched
tracking: [tensorboard]
dataset: {use: demo, users: 60, items: 60}
max_history: 6
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 400}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 3, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 2, batch_size: 32, eval_users: 20, eval_width: 10, log_every: 1}
  again: {use: sft, samples: packed, epochs: 1, batch_size: 32, eval_users: 20, eval_width: 10, log_every: 1}
  evaluate: evaluate
"""


class Remembers:
    """A tracker that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, float], int]] = []
        self.finished = False

    def log(self, values: dict[str, float], step: int) -> None:
        self.heard.append((values, step))

    def finish(self) -> None:
        self.finished = True


def stage(name: str) -> Any:
    return SimpleNamespace(name=name)


def test_steps_are_counted_over_all_stages() -> None:
    tracker = Remembers()
    tracking = Tracking(tracker)
    for name in ("ground", "reason"):
        tracking.lasar_stage_start(run=None, stage=stage(name))  # type: ignore[arg-type]
        for step in (1, 5):
            tracking.lasar_step_end(run=None, stage=stage(name), step=step, metrics={"loss": 0.5})  # type: ignore[arg-type]
    report = {"hr@10": 0.25, "baselines": {"popularity": {"hr@10": 0.1}}, "label": "x"}
    tracking.lasar_run_end(run=None, metrics={"test": report})  # type: ignore[arg-type]
    assert tracker.heard == [
        ({"ground/loss": 0.5}, 1),
        ({"ground/loss": 0.5}, 5),
        ({"reason/loss": 0.5}, 6),
        ({"reason/loss": 0.5}, 10),
        ({"test/hr_at_10": 0.25}, 11),
    ]
    assert tracker.finished


def test_tensorboard_holds_the_log(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "watched.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    run = tmp_path / "run"
    runner.run_spec(load_spec(tmp_path / "watched.yaml", (), catalogue), catalogue, run, True)
    found = EventAccumulator(str(run / "tracking" / "watched"))
    found.Reload()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    tags = [*found.Scalars("ground/loss"), *found.Scalars("again/loss")]
    assert [event.value for event in tags] == pytest.approx(losses)
    assert [event.step for event in tags] == list(range(1, len(losses) + 1))
    metrics = json.loads((run / "metrics.json").read_text())
    assert found.Scalars("evaluate/hr_at_10")[0].value == pytest.approx(metrics["evaluate"]["hr@10"])


def test_a_tracker_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lasar_kit.engine.tracking.find_spec", lambda name: None)
    loaded = SimpleNamespace(spec=SimpleNamespace(tracking=("wandb", "mlflow"), name="x"))
    with pytest.raises(UserError) as caught:
        Tracking.of(loaded, tmp_path)  # type: ignore[arg-type]
    assert caught.value.lines == (
        "tracking: wandb: the package wandb is not installed; try: pip install wandb",
        "tracking: mlflow: the package mlflow is not installed; try: pip install mlflow",
    )


def test_wandb_gets_its_project_and_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the package, of which accelerate needs no more."""
    seen: dict[str, Any] = {}
    fake: Any = ModuleType("wandb")
    fake.init = lambda project: (
        seen.update(project=project)
        or SimpleNamespace(log=lambda values, step: seen.update(logged=(values, step)), finish=lambda: None)
    )
    fake.config = SimpleNamespace(update=lambda values, **_: seen.update(config=values))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("lasar_kit.engine.tracking.find_spec", lambda name: fake)
    loaded = SimpleNamespace(
        spec=SimpleNamespace(tracking=("wandb",), name="mine", seed=3), dump=lambda: "name: mine\n"
    )
    (tracking,) = Tracking.of(loaded, tmp_path)  # type: ignore[arg-type]
    tracking.lasar_step_end(run=None, stage=stage("rl"), step=2, metrics={"reward": 1.0})  # type: ignore[arg-type]
    assert seen == {
        "project": "mine",
        "config": {"name": "mine", "seed": 3, "spec": "name: mine\n"},
        "logged": ({"rl/reward": 1.0}, 2),
    }
