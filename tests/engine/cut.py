"""A small LASAR run that can be cut off."""

import json
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.train.updater import Updater
from tests.small import CUT

SPEC = (
    CUT
    + """
name: lasar
stages:
  ground: {patience: 2, log_every: 2, item_drop: 0.3}
  reason: {epochs: 1, batch_size: 20, checkpoint_every: null, log_every: null}
  rl: {updates_per_rollout: 2}
  evaluate: null
"""
)
ALONE = ("stages.anchors=null", "stages.reason=null", "stages.rl=null")
"""Overrides that leave nothing behind the stage `ground`."""


class Killed(BaseException):
    """Stands for SIGKILL."""


def run(folder: Path, *overrides: str, use_cache: bool = True) -> Path:
    """Run, or go on; the folder of the stages."""
    folder.mkdir(exist_ok=True)
    (folder / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    loaded = load_spec(folder / "lasar.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, folder / "lasar", use_cache)
    return folder / "lasar" / "stages"


def cut(owner: type, name: str, calls: int) -> pytest.MonkeyPatch:
    """Have a method die at its n-th call."""
    method, patch, left = getattr(owner, name), pytest.MonkeyPatch(), [calls]

    def dies(self: Any, *given: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return method(self, *given, **more)

    patch.setattr(owner, name, dies)
    return patch


def killed(folder: Path, calls: int, *overrides: str, owner: type = Updater) -> None:
    """A run that dies at an update (or where a recommender is written)."""
    patch = cut(owner, "update" if owner is Updater else "save", calls)
    try:
        with pytest.raises(Killed):
            run(folder, *overrides)
    finally:
        patch.undo()


def counted(folder: Path, *overrides: str, use_cache: bool = True) -> int:
    """Go on to the end; how many updates that took."""
    patch, calls, update = pytest.MonkeyPatch(), [0], Updater.update

    def counts(self: Any, *given: Any) -> Any:
        calls[0] += 1
        return update(self, *given)

    patch.setattr(Updater, "update", counts)
    try:
        run(folder, *overrides, use_cache=use_cache)
    finally:
        patch.undo()
    return calls[0]


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "samples_per_s"} for line in found]


def same(ours: Path, theirs: Path) -> None:
    names = {path.name for path in theirs.iterdir()}
    assert {path.name for path in ours.iterdir()} == names
    for name in names - {"artifact.json", "log.jsonl"}:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    if "log.jsonl" in names:
        assert lines(ours / "log.jsonl") == lines(theirs / "log.jsonl")
    reports = [json.loads((folder / "artifact.json").read_text())["report"] for folder in (ours, theirs)]
    assert reports[0] == reports[1]


def updates(stages: Path, name: str) -> int:
    made: int = json.loads((stages / name / "artifact.json").read_text())["report"]["updates"]
    return made
