"""A run that is cut off and resumed ends in the same bits as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lasar_kit.model.recommender import Recommender
from lasar_kit.train.checkpoints import Checkpoints, State
from tests.engine.cut import ALONE, SPEC, counted, killed, lines, run, same, updates

ROOT = Path(__file__).parents[2]
STAGES = {"ground": 30, "rl": 6}
"""The stages that are cut off, and how many updates each makes."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages of a run that was not interrupted."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def begin(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a run that has come as far as a stage."""

    def make(stage: str) -> Path:
        folder = tmp_path_factory.mktemp("cut")
        for earlier in ("dataset", "tokenize", "ground", "anchors", "reason", "rl"):
            if earlier == stage:
                break
            shutil.copytree(whole / earlier, folder / "lasar" / "stages" / earlier)
        return folder

    return make


def test_the_run_is_one_that_shows_a_difference(whole: Path) -> None:
    """Several epochs with an uneven batch, validations that were not all the best, many updates."""
    for name, expected in STAGES.items():
        assert updates(whole, name) == expected
    report = json.loads((whole / "ground" / "artifact.json").read_text())["report"]
    assert report["samples"] % 15
    assert not list(whole.glob(".*"))


@settings(max_examples=3)
@example(calls=29)  # in the last epoch, whose losses are reported
@given(calls=st.integers(1, STAGES["ground"] - 1))
def test_sft_is_resumed_to_the_bit(whole: Path, begin: Callable[[str], Path], calls: int) -> None:
    folder = begin("ground")
    killed(folder, calls, *ALONE)
    assert counted(folder, *ALONE) == updates(whole, "ground") - calls // 3 * 3
    same(folder / "lasar" / "stages" / "ground", whole / "ground")
    assert lines(folder / "lasar" / "log.jsonl") == lines(whole / "ground" / "log.jsonl")


@settings(max_examples=3)
@given(calls=st.integers(1, 2 * STAGES["rl"] - 1))
def test_rl_is_resumed_to_the_bit(whole: Path, begin: Callable[[str], Path], calls: int) -> None:
    """Also from between two updates on the same candidates."""
    folder = begin("rl")
    killed(folder, calls)
    assert counted(folder) == 2 * (updates(whole, "rl") - calls // 2)
    same(folder / "lasar" / "stages" / "rl", whole / "rl")
    assert lines(folder / "lasar" / "log.jsonl") == lines(whole.parent / "log.jsonl")


def test_a_run_may_be_cut_off_again_and_while_a_model_is_written(
    whole: Path, begin: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begin("ground")
    killed(folder, 4, *ALONE)
    killed(folder, 4, *ALONE)
    assert "goes on after update 3" in capsys.readouterr().out
    killed(folder, 0, *ALONE, owner=Recommender)
    run(folder, *ALONE)
    same(folder / "lasar" / "stages" / "ground", whole / "ground")


def test_a_stage_without_a_checkpoint_and_a_run_without_cache_begin_anew(
    whole: Path, begin: Callable[[str], Path]
) -> None:
    every = updates(whole, "ground")
    for kept, use_cache, left in ((0, True, every), (3, False, every), (3, True, every - 3)):
        folder = begin("ground")
        options = (*ALONE, f"stages.ground.checkpoint_every={kept}")
        killed(folder, 5, *options)
        assert counted(folder, *options, use_cache=use_cache) == left
        same(folder / "lasar" / "stages" / "ground", whole / "ground")


def test_checkpoints_of_another_version_of_the_stage_go(whole: Path, begin: Callable[[str], Path]) -> None:
    folder = begin("ground")
    killed(folder, 5, *ALONE)
    other = (*ALONE, "stages.ground.optimizer.lr=0.002")
    killed(folder, 4, *other)
    assert counted(folder, *ALONE) == updates(whole, "ground")


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    file.unlink()
    if how == "edited":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "truncated":
        file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("state.safetensors", "edited"),
        ("state.json", "truncated"),
        ("manifest.json", "truncated"),
        ("best/model.safetensors", "edited"),
        ("log.jsonl", "gone"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    whole: Path, begin: Callable[[str], Path], capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    folder = begin("ground")
    killed(folder, 11, *ALONE)
    (kept,) = (folder / "lasar" / "stages" / ".ground.work").glob("*/checkpoints")
    assert sorted(path.name for path in kept.iterdir()) == ["000000006", "000000009"]
    damage(kept / "000000009" / name, how)
    capsys.readouterr()
    assert counted(folder, *ALONE) == updates(whole, "ground") - 6
    shown = " ".join(capsys.readouterr().out.split())
    assert f"000000009 is damaged: {name}" in shown.replace("- ", "-")
    assert "goes on after update 6" in shown
    same(folder / "lasar" / "stages" / "ground", whole / "ground")


def test_a_stage_whose_checkpoints_are_all_damaged_keeps_new_ones(tmp_path: Path) -> None:
    """It begins anew, so they are of fewer updates than those that were given up."""
    (tmp_path / "stage").mkdir()
    kept = Checkpoints(tmp_path / "checkpoints")
    for done in (300, 400):
        damage(kept.write(done, State({}, {}), tmp_path / "stage") / "state.json", "edited")
    assert kept.latest()[0] is None
    for done, names in ((100, ["000000100"]), (200, ["000000100", "000000200"])):
        written = kept.write(done, State({}, {}), tmp_path / "stage")
        assert [path.name for path in kept.all()] == names
        assert kept.latest() == (written, [])


def test_sigkill(whole: Path, begin: Callable[[str], Path]) -> None:
    """A process of its own, killed when it has written its second checkpoint."""
    folder = begin("ground")
    (folder / "lasar.yaml").write_text(SPEC)
    shutil.copy(whole.parent / "spec.lock.yaml", folder / "lasar")  # it tells a run's folder from others
    options = [part for option in ALONE for part in ("--set", option)]
    command = ["-m", "lasar_kit", "run", str(folder / "lasar.yaml"), "--output", str(folder / "lasar")]
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    process = subprocess.Popen(
        [sys.executable, *command, *options], env=os.environ | paths, stdout=subprocess.DEVNULL
    )
    stages = folder / "lasar" / "stages"
    while not list(stages.glob(".ground.work/*/checkpoints/000000006")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (stages / "ground").exists()
    assert counted(folder, *ALONE) <= updates(whole, "ground") - 6
    same(stages / "ground", whole / "ground")
