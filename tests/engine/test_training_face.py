"""A plugin's own training stage, by the public face alone: it runs, is resumed, ends early, and serves."""

from __future__ import annotations

import json
import subprocess
import sys
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lasar_kit import training
from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.imports import read
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.train.updater import Updater
from tests.engine.cut import Killed, cut, lines, same
from tests.small import CUT

PLUGIN = Path(__file__).parents[1] / "third_party" / "training"
SPEC = (
    CUT
    + """
name: towers
stages:
  ground: null
  anchors: null
  reason: null
  rl: null
  evaluate: null
  towers: {use: towers, temperature: 1, epochs: 2, batch_size: 50, eval_users: 10, eval_width: 10,
           checkpoint_every: 2, log_every: 1, optimizer: {lr: 1.0e-2}}
  again: {use: sft, samples: packed, epochs: 1, batch_size: 20, eval_users: 10, eval_width: 10}
"""
)


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))


def go(folder: Path, *overrides: str) -> dict[str, Any]:
    """Run, or go on; the report of `towers`."""
    folder.mkdir(exist_ok=True)
    (folder / "towers.yaml").write_text(SPEC)
    catalogue = Catalogue.discover([PLUGIN])
    loaded = load_spec(folder / "towers.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, folder / "run", True)
    report: dict[str, Any] = json.loads((folder / "run/stages/towers/artifact.json").read_text())["report"]
    return report


def test_it_runs_and_learns_and_a_stage_goes_on_from_it(tmp_path: Path) -> None:
    report = go(tmp_path)
    assert report["updates"] >= 6
    losses = [line["loss"] for line in lines(tmp_path / "run/stages/towers/log.jsonl") if "loss" in line]
    assert losses[0] == pytest.approx(log(60), rel=0.3)  # of 60 items
    assert losses[-1] < losses[0]
    assert len(report["validations"]) == 2
    after = json.loads((tmp_path / "run/stages/again/artifact.json").read_text())["report"]
    assert after["updates"] > 0
    assert (tmp_path / "run/model/recommender.json").is_file()


def test_it_is_resumed_to_the_bit_and_ends_early(tmp_path: Path) -> None:
    options = ("stages.again=null", "hooks=[{use: target, metric: loss, value: 100, reached: at_most}]")
    assert go(tmp_path / "early", *options)["updates"] == 1
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    report = go(tmp_path / "a" / "whole", "stages.again=null")
    patch = cut(Updater, "update", 4)
    try:
        with pytest.raises(Killed):
            go(tmp_path / "b" / "cut", "stages.again=null")
    finally:
        patch.undo()
    assert go(tmp_path / "b" / "cut", "stages.again=null") == report
    same(*(folder / "run/stages/towers" for folder in (tmp_path / "b" / "cut", tmp_path / "a" / "whole")))


@pytest.mark.parametrize(
    ("processes", "size", "expected"),
    [
        (1, 3, [([0, 1, 2], 1.0)]),
        (2, 3, [([0, 1], 1.0), ([2], 1.0)]),
        (3, 2, [([0], 1.0), ([1], 1.0), ([0], 0.0)]),
    ],
)
def test_the_share_of_a_process(processes: int, size: int, expected: list[tuple[list[int], float]]) -> None:
    found = []
    for index in range(processes):
        accelerator = SimpleNamespace(num_processes=processes, process_index=index)
        stand_in: Any = SimpleNamespace(accelerator=accelerator)
        windows: Any = list(range(size))
        mine, weight = training.Training.share(stand_in, windows)
        found.append((list(mine), weight))
    assert found == expected


CONTRACT = """\
[importlinter]
root_packages =
    lasar_kit
    lasar_towers
exclude_type_checking_imports = True

[importlinter:contract:face]
name = A plugin sees core, process, spec, errors, hookspecs and training
type = forbidden
source_modules = lasar_towers
forbidden_modules =
{forbidden}
allow_indirect_imports = True
"""
PUBLIC = {"core", "process", "spec", "errors", "hookspecs", "training"}


def test_the_public_face_is_enough(tmp_path: Path) -> None:
    """By import-linter; which finds an import that is not of it."""
    import lasar_kit

    rooms = {path.stem for path in Path(lasar_kit.__file__).parent.iterdir() if path.stem[0] not in "._p"}
    rooms |= {"process"}
    assert rooms >= PUBLIC
    forbidden = "\n".join(f"    lasar_kit.{room}" for room in sorted(rooms - PUBLIC))
    (tmp_path / "linter.ini").write_text(CONTRACT.format(forbidden=forbidden))
    package = tmp_path / "lasar_towers"
    package.mkdir()
    for file in (PLUGIN / "lasar_towers").glob("*.py"):
        (package / file.name).write_text(file.read_text())

    def lint() -> subprocess.CompletedProcess[str]:
        command = "from importlinter.cli import lint_imports; "
        command += "sys.exit(lint_imports('linter.ini', no_cache=True))"
        roots = [str(Path(lasar_kit.__file__).parents[1]), str(tmp_path)]
        return subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {roots!r}; {command}"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = lint()
    assert done.returncode == 0, done.stdout + done.stderr
    (package / "more.py").write_text("import lasar_kit.train.loop\n")
    assert lint().returncode == 1


def test_the_key_of_the_stage_covers_what_it_takes_from_the_kit() -> None:
    catalogue = Catalogue.discover([PLUGIN])
    modules = catalogue.digests.kit.imported(read((PLUGIN / "lasar_towers" / "stage.py").read_bytes()))
    assert {"lasar_kit.train.loop", "lasar_kit.model.recommender"} <= catalogue.digests.kit.closure(
        modules
    ).keys()


def test_every_name_is_there_and_options_import_no_torch() -> None:
    listed = [*training._options(), *training._everything()]
    assert sorted(listed) == sorted(training.__all__)
    for name in training.__all__:
        assert getattr(training, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        training.Trainer  # noqa: B018
    command = f"import sys; sys.path.append({str(PLUGIN)!r}); import lasar_towers.config; "
    command += "assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
