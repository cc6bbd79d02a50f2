"""Two processes of which one dies; the same run, resumed and asked to stop; and one that a hook ends."""

import json
from pathlib import Path
from subprocess import CompletedProcess

from tests.modules import Start
from tests.small import CUT

SPEC = (
    CUT
    + """
name: pair
decoder: {score: null}
stages:
  ground: {epochs: 4, text: null, score: null, log_every: null}
  anchors: null
  reason: null
  rl: null
  evaluate: null
"""
)
FAULTY = """
import os
import signal
from lasar_kit.train.updater import Updater

update, made = Updater.update, []

def faulty(self, *given):
    made.append(1)
    if os.environ["RANK"] == "1" and len(made) == int(os.environ["DIES"]):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ["RANK"] == "1" and len(made) == int(os.environ["ASKS"]):
        os.kill(os.getppid(), signal.SIGTERM)  # the launcher
    return update(self, *given)

Updater.update = faulty
"""


def run(begin: Start, folder: Path, *options: str, **environment: str) -> CompletedProcess[str]:
    """The run on two processes, which must not hang."""
    spec = ["run", str(folder / "pair.yaml"), "--output", str(folder / "pair"), "--processes", "2"]
    faulty = {"DIES": "0", "ASKS": "0", **environment}
    return begin("lasar_kit", *spec, "--plugin", str(folder / "faulty"), *options, **faulty)


def test_a_process_that_dies_and_a_launcher_that_is_asked_to_stop(preloaded: Start, tmp_path: Path) -> None:
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "registry.toml").write_text('[hooks]\nmodules = ["dies_or_asks"]\n')
    (tmp_path / "faulty" / "dies_or_asks.py").write_text(FAULTY)
    (tmp_path / "pair.yaml").write_text(SPEC)
    stages = tmp_path / "pair" / "stages"

    died = run(preloaded, tmp_path, DIES="5")
    assert died.returncode == 137
    assert "process 1 was ended by SIGKILL; run it again to go on\n" in died.stderr
    assert "Traceback" not in died.stderr
    assert [path.name for path in stages.glob(".ground.work/*/checkpoints/*")] == ["000000003"]

    asked = run(preloaded, tmp_path, "--resume", ASKS="2")
    assert asked.returncode == 75, asked.stderr
    assert "goes on after update 3" in asked.stdout
    assert asked.stderr.count("run it again to go on") == 1
    (stopped,) = set(stages.glob(".ground.work/*/checkpoints/*")) - set(
        stages.glob(".ground.work/*/checkpoints/000000003")
    )
    assert f"stages.ground, after update {int(stopped.name)}: SIGTERM" in asked.stderr
    assert not (stages / "ground").exists()


def test_a_hook_of_the_main_process_ends_the_stage_on_both(preloaded: Start, tmp_path: Path) -> None:
    """Between two validations, so that both take part in the one that is made once more."""
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "registry.toml").write_text('[hooks]\nmodules = ["dies_or_asks"]\n')
    (tmp_path / "faulty" / "dies_or_asks.py").write_text(FAULTY)
    target = "hooks: [{use: target, metric: epoch, value: 0.5}]\n"
    spec = SPEC.replace("name: pair\n", "name: pair\n" + target).replace(", log_every: null", "")
    (tmp_path / "pair.yaml").write_text(spec)
    done = run(preloaded, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stopped after update 3: epoch is 0.6, at least 0.5") == 1
    report = json.loads((tmp_path / "pair/stages/ground/artifact.json").read_text())["report"]
    assert (report["updates"], report["stopped"]) == (3, "epoch is 0.6, at least 0.5")
    assert [found["update"] for found in report["validations"]] == [3]
