"""Trackers get what the log gets."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from accelerate.state import AcceleratorState

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.report.tracking import Tracking
from lasar_kit.run import runner
from lasar_kit.spec import LoadedSpec, load_spec
from tests.small import SHOP

SPEC = (
    SHOP
    + """
name: watched
tracking: [tensorboard]
stages:
  ground: {epochs: 2, batch_size: 32, log_every: 1, score: null}
  anchors: null
  reason: null
  rl: null
  again: {use: sft, samples: packed, epochs: 1, batch_size: 32, eval_users: 20, eval_width: 10, log_every: 1}
  evaluate: evaluate
"""
)


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
    report |= {"exclude_history": False, "history_in": {"hr@10": 0.25}, "history_out": {"hr@10": 0.5}}
    tracking.lasar_run_end(run=None, metrics={"test": report})  # type: ignore[arg-type]
    assert tracker.heard == [
        ({"ground/loss": 0.5}, 1),
        ({"ground/loss": 0.5}, 5),
        ({"reason/loss": 0.5}, 6),
        ({"reason/loss": 0.5}, 10),
        ({"test/hr_at_10": 0.25}, 11),
        ({"test/history_in/hr_at_10": 0.25}, 11),
        ({"test/history_out/hr_at_10": 0.5}, 11),
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
    monkeypatch.setattr("lasar_kit.report.tracking.find_spec", lambda name: None)
    loaded = SimpleNamespace(spec=SimpleNamespace(tracking=("wandb", "mlflow"), name="x"))
    with pytest.raises(UserError) as caught:
        Tracking.of(loaded, tmp_path)  # type: ignore[arg-type]
    assert caught.value.lines == (
        "tracking: wandb: the package wandb is not installed; try: pip install wandb",
        "tracking: mlflow: the package mlflow is not installed; try: pip install mlflow",
    )


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], LoadedSpec]:
    """The spec with one tracker; and nothing of accelerate's is set up, as when a run begins."""
    AcceleratorState._reset_state(reset_partial_state=True)
    (tmp_path / "watched.yaml").write_text(SPEC)
    return lambda name: load_spec(tmp_path / "watched.yaml", [f"tracking=[{name}]"], Catalogue.discover())


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> None:
    """A module in a package's place, with all that accelerate asks of it."""
    fake = ModuleType(name)
    vars(fake).update(parts)
    monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr("lasar_kit.report.tracking.find_spec", lambda name: fake)


def test_wandb_gets_its_project_and_configuration(
    loaded: Callable[[str], LoadedSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def init(**options: str) -> Any:
        seen.update(options)
        return SimpleNamespace(log=lambda values, step: seen.update(logged=(values, step)))

    config = SimpleNamespace(update=lambda values, **_: seen.update(config=values))
    stand_in(monkeypatch, "wandb", init=init, config=config)
    (tracking,) = Tracking.of(loaded("wandb"), tmp_path / "run")
    tracking.lasar_step_end(run=None, stage=stage("rl"), step=2, metrics={"reward": 1.0})  # type: ignore[arg-type]
    assert (seen["project"], seen["dir"]) == ("watched", str(tmp_path / "run" / "tracking"))
    assert (tmp_path / "run" / "tracking").is_dir()
    assert seen["logged"] == ({"rl/reward": 1.0}, 2)
    config = seen["config"]
    assert (config["name"], config["seed"], config["stages.ground.epochs"]) == ("watched", 0, 2.0)
    assert (config["tracking"], config["backbone.pretrained"]) == ('["wandb"]', "null")
    assert all(isinstance(value, str | int | float) for value in config.values())


@pytest.mark.parametrize("told", [True, False])
def test_mlflow_writes_to_the_run_unless_told_where_to(
    loaded: Callable[[str], LoadedSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    seen: dict[str, Any] = {}
    stand_in(
        monkeypatch,
        "mlflow",
        is_tracking_uri_set=lambda: told,
        set_tracking_uri=lambda uri: seen.update(uri=uri),
        search_experiments=lambda filter_string: [],
        create_experiment=lambda **options: seen.update(options),
        start_run=lambda **_: None,
        log_params=lambda values: seen.update(values),
        log_metrics=lambda values, step: seen.update(logged=(values, step)),
        utils=SimpleNamespace(
            validation=SimpleNamespace(MAX_PARAM_VAL_LENGTH=6000, MAX_PARAMS_TAGS_PER_BATCH=100)
        ),
    )
    (tracking,) = Tracking.of(loaded("mlflow"), tmp_path)
    tracking.lasar_step_end(run=None, stage=stage("rl"), step=2, metrics={"hr@5": 1.0})  # type: ignore[arg-type]
    folder = tmp_path / "tracking"
    expected = (None, None) if told else (f"sqlite:///{folder}/mlflow.db", (folder / "mlartifacts").as_uri())
    assert (seen.get("uri"), seen["artifact_location"]) == expected
    assert (seen["name"], seen["stages.ground.use"]) == ("watched", "sft")
    assert seen["logged"] == ({"rl/hr_at_5": 1.0}, 2)


def test_a_tracker_that_does_not_start(
    loaded: Callable[[str], LoadedSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: str) -> None:
        raise RuntimeError("No API key configured.\nUse `wandb login`")

    stand_in(monkeypatch, "wandb", init=init)
    with pytest.raises(UserError) as caught:
        Tracking.of(loaded("wandb"), tmp_path)
    assert caught.value.lines == (
        "tracking: wandb: cannot be started (RuntimeError: No API key configured.)",
    )
