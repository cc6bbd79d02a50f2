"""Hooks with options of their own: listed in a spec, they end stages early, and shape keys if they may."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.train.updater import Updater
from lasar_kit.train.validation import BestCheckpoint
from tests.engine.cut import ALONE, SPEC, Killed, cut, lines, same

SMALL = (*ALONE, "stages.evaluate=null", "stages.ground.epochs=3")
"""A stage `ground` of 15 updates, logged every 2, validated and kept every 5 and every 3."""
REGISTRY = """\
[hook.{name}]
summary = "A hook for tests."
config = "watchers_{name}.config:Config"
build = "watchers_{name}.hook:Hook"
"""
CONFIG = """\
from pydantic import Field
from lasar_kit.spec import ComponentConfig

class Config(ComponentConfig):
    number: int = Field(3, ge=0, description="A number.")
"""
HEAD = """\
from lasar_kit.hookspecs import hookimpl
seen = []

class Hook:
    def __init__(self, config, env):
        self.config, self.seen = config, seen
"""
COUNTS = """
    @hookimpl
    def lasar_stage_start(self, stage):
        self.lines = 0

    @hookimpl
    def lasar_should_stop(self, stage, step, metrics):
        self.lines += 1
        return f"line {self.lines}" if self.lines == self.config.number else None
"""
WATCHES = """
    @hookimpl
    def lasar_step_end(self, run, stage, step, metrics):
        self.seen.append((stage.name, step, (run.writing / "log.jsonl").read_text().count("\\n")))
        return "no reason to stop"
"""
WRAPS = """
    @hookimpl(wrapper=True)
    def lasar_run_stage(self, run, stage, context):
        report = yield
        return {**report, "number": self.config.number}
"""
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a plugin with one hook of some body; its modules are named after it."""
    monkeypatch.setattr("sys.path", list(sys.path))

    def make(name: str, body: str) -> Path:
        folder = tmp_path / f"plugin_{name}"
        package = folder / f"watchers_{name}"
        package.mkdir(parents=True)
        (folder / "registry.toml").write_text(REGISTRY.format(name=name))
        for file, text in {"__init__": "", "config": CONFIG, "hook": HEAD + body}.items():
            (package / f"{file}.py").write_text(text)
        return folder

    return make


def go(folder: Path, hooks: str, *overrides: str, plugin: Path | None = None) -> dict[str, Any]:
    """Run, or go on; the report of `ground`."""
    folder.mkdir(exist_ok=True)
    (folder / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover([plugin] if plugin else [])
    loaded = load_spec(folder / "lasar.yaml", (*SMALL, f"hooks={hooks}", *overrides), catalogue)
    before = catalogue.hooks.get_plugins()
    try:
        runner.run_spec(loaded, catalogue, folder / "lasar", True)
    finally:
        assert catalogue.hooks.get_plugins() >= before
        kept = catalogue.hooks.get_plugins() - before
        assert {type(part).__name__ for part in kept} <= {"module"}
    report: dict[str, Any] = json.loads((ground(folder) / "artifact.json").read_text())["report"]
    return report


def ground(folder: Path) -> Path:
    return folder / "lasar" / "stages" / "ground"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that no hook watches."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    report = go(folder, "[]")
    assert (report["updates"], "stopped" in report) == (15, False)
    return folder


@pytest.fixture
def rises(whole: Path) -> list[dict[str, Any]]:
    """The log of that run, whose loss at update 8 is lower than at any before."""
    log = lines(ground(whole) / "log.jsonl")
    losses = {line["step"]: line["loss"] for line in log if "loss" in line}
    assert losses[8] < min(losses[step] for step in (2, 4, 6))
    return log


def test_a_stage_ends_where_the_target_is_reached(
    whole: Path, rises: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between two validations: with one more, and all else as it would have been."""
    value = next(line["loss"] for line in rises if line["step"] == 8)
    hooks = f"[{{use: target, metric: loss, value: {value!r}, reached: at_most}}]"
    report = go(tmp_path / "run", hooks)
    reason = f"loss is {value:.4g}, at most {value:g}"
    assert (report["updates"], report["stopped"]) == (8, reason)
    assert f"stopped after update 8: {reason}" in " ".join(capsys.readouterr().out.split())
    *log, last = lines(ground(tmp_path / "run") / "log.jsonl")
    assert log == rises[: len(log)]
    assert [line["step"] for line in log] == [2, 4, 5, 6, 8]
    assert last["step"] == 8
    assert "validation_ndcg@10" in last
    found = {entry["update"]: entry["ndcg@10"] for entry in report["validations"]}
    assert list(found) == [5, 8]
    assert report["best_update"] == max(found, key=lambda update: (found[update], -update))
    assert report["best_ndcg@10"] == max(found.values())
    assert (ground(tmp_path / "run") / "model.safetensors").is_file()


def test_a_validation_that_is_good_enough_is_the_last(whole: Path, tmp_path: Path) -> None:
    report = go(tmp_path / "run", "[{use: target, value: 0}]")
    assert (report["updates"], len(report["validations"])) == (5, 1)
    assert report["stopped"].endswith("at least 0")


def test_a_stage_that_is_good_enough_from_the_start_leaves_a_model(tmp_path: Path) -> None:
    """The model before the first update is only looked at, so one update is made."""
    report = go(tmp_path / "run", "[{use: target, value: 0}]", "stages.ground.validate_first=true")
    assert (report["updates"], [one["update"] for one in report["validations"]]) == (1, [0, 1])
    assert (ground(tmp_path / "run") / "model.safetensors").is_file()


def test_other_stages_and_a_misspelt_number(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = (
        "[{use: target, metric: validation_ndgc@10, value: 0}, {use: target, value: 0, stages: [tokenize]}]"
    )
    assert go(tmp_path / "run", hooks)["updates"] == 15
    told = " ".join(capsys.readouterr().out.split())
    assert "ground logs no 'validation_ndgc@10'; did you mean 'validation_ndcg@10'?" in told
    with pytest.raises(UserError, match="hooks: target: unknown stage 'groud'; did you mean 'ground'"):
        go(tmp_path / "other", "[{use: target, value: 0, stages: [groud]}]")


def test_the_time_limit(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves on a minute whenever it is read: at the stage's start, and at each line."""
    from lasar_plugins.hook.standard import time_limit

    minutes = count(100)
    monkeypatch.setattr(time_limit, "time", type("Clock", (), {"monotonic": lambda: 60.0 * next(minutes)}))
    report = go(tmp_path / "run", "[{use: time_limit, minutes: 3}]")
    # Behind the lines of updates 2 and 4 one minute and two are over, behind the validation after 5 three.
    assert (report["updates"], report["stopped"]) == (5, "3 minutes are over")


@pytest.mark.parametrize(
    ("owner", "method", "calls"),
    [(Updater, "update", 3), (Updater, "update", 5), (BestCheckpoint, "validate", 1)],
)
def test_a_run_that_goes_on_ends_where_it_would_have(
    write: Write, tmp_path: Path, owner: type, method: str, calls: int
) -> None:
    """A hook that counts lines counts those before the cut too; cut off last between the reason, which is in
    a checkpoint by then, and the validation that it asks for."""
    plugin = write(f"counts_{method}_{calls}", COUNTS)
    hooks = f"[{{use: counts_{method}_{calls}, number: 4}}]"
    options = ("stages.ground.checkpoint_every=2",)
    report = go(tmp_path / "a", hooks, *options, plugin=plugin)
    assert (report["updates"], report["stopped"]) == (6, "line 4")
    (tmp_path / "apart").mkdir()
    patch = cut(owner, method, calls)
    try:
        with pytest.raises(Killed):
            go(tmp_path / "apart" / "b", hooks, *options, plugin=plugin)
    finally:
        patch.undo()
    assert go(tmp_path / "apart" / "b", hooks, *options, plugin=plugin) == report
    same(ground(tmp_path / "apart" / "b"), ground(tmp_path / "a"))


def test_what_only_watches_is_in_no_key(write: Write, tmp_path: Path) -> None:
    """It may come, go and change; it hears of each line that is in the log, and what it returns is lost."""
    plugin = write("watches", WATCHES)
    assert go(tmp_path / "run", "[]")["updates"] == 15
    before = (ground(tmp_path / "run") / "artifact.json").stat().st_mtime_ns
    go(tmp_path / "run", "[watches]", plugin=plugin)
    assert (ground(tmp_path / "run") / "artifact.json").stat().st_mtime_ns == before
    report = go(tmp_path / "run", "[{use: watches, number: 1}]", "stages.ground.epochs=1", plugin=plugin)
    assert "stopped" not in report
    assert sys.modules["watchers_watches.hook"].seen == [
        ("ground", 2, 1),
        ("ground", 4, 2),
        ("ground", 5, 3),
        ("ground", 5, 4),
    ]


def test_what_may_shape_a_stage_is_in_its_key(write: Write, tmp_path: Path) -> None:
    """Hooks that end training stages are in the keys of these; those that run stages in those of all."""

    def keys(hooks: str, plugin: Path) -> dict[str, str]:
        (tmp_path / "lasar.yaml").write_text(SPEC)
        catalogue = Catalogue.discover([plugin])
        loaded = load_spec(tmp_path / "lasar.yaml", (*SMALL, f"hooks={hooks}"), catalogue)
        return {step.stage.name: step.key for step in runner.steps_of(loaded, catalogue)}

    def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
        return {name for name in one if one[name] != other[name]}

    ends, wraps = write("ends", COUNTS), write("wraps", WRAPS)
    none, three, four = (keys(hooks, ends) for hooks in ("[]", "[ends]", "[{use: ends, number: 4}]"))
    assert differing(none, three) == differing(three, four) == {"ground"}
    assert keys("[ends]", ends) == three
    file = ends / "watchers_ends" / "hook.py"
    file.write_text(file.read_text() + "\nedited = True\n")
    assert differing(three, keys("[ends]", ends)) == {"ground"}
    none, three, four = (keys(hooks, wraps) for hooks in ("[]", "[wraps]", "[{use: wraps, number: 4}]"))
    assert differing(none, three) == differing(three, four) == {"dataset", "tokenize", "ground"}


def test_a_hook_may_run_stages(write: Write, tmp_path: Path) -> None:
    plugin = write("around", WRAPS)
    assert (
        go(tmp_path / "run", "[{use: around, number: 7}]", "stages.ground.epochs=1", plugin=plugin)["number"]
        == 7
    )


NAMED = "hook '{name}' of {plugin}: "


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("idle", "    def lasar_run_start(self, run): ...\n", NAMED + "implements no hook: mark its methods"),
        (
            "misspelt",
            "    @hookimpl\n    def lasar_should_stopp(self, run): ...\n",
            NAMED + "unknown hook 'lasar_should_stopp'; did you mean 'lasar_should_stop'?",
        ),
        (
            "brings",
            "    @hookimpl\n    def lasar_components(self): ...\n",
            NAMED + "lasar_components is a hook of modules alone",
        ),
        ("wrong", "    @hookimpl\n    def lasar_run_start(self, rum): ...\n", "hooks: Hook: "),
        ("made", "Hook = Hook(None, None)\n", NAMED + "watchers_made.hook:Hook is not a class"),
    ],
)  # fmt: skip
def test_what_is_no_hook(write: Write, tmp_path: Path, name: str, body: str, told: str) -> None:
    """Nothing is computed, nor written but for the lock."""
    plugin = write(name, body)
    with pytest.raises(UserError) as caught:
        go(tmp_path / "run", f"[{name}]", plugin=plugin)
    assert told.format(name=name, plugin=plugin) in str(caught.value)
    assert not (tmp_path / "run" / "lasar" / "stages").exists()


def test_an_unknown_hook_and_one_that_gives_no_reason(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hooks\[0\]\.use: unknown hook 'targt'; did you mean 'target'"):
        go(tmp_path / "run", "[targt]")
    plugin = write("yes", COUNTS.replace('f"line {self.lines}"', "True"))
    with pytest.raises(
        UserError, match=r"stages\.ground: a hook's lasar_should_stop must return .* \(got True\)"
    ):
        go(tmp_path / "run", "[yes]", plugin=plugin)
