"""Where a run goes: what `--set`, `--output` and `--resume` make of a folder that holds one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit import __version__
from tests.cli.conftest import Result

Call = Callable[..., Result]
SPEC = """
dataset: {use: demo, users: 20, items: 60}
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: CODES}}
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Path:
    """The lock of a run that is done, in the working directory's `runs/s`."""
    monkeypatch.chdir(tmp_path)
    write(8)
    assert call("run", "s.yaml").code == 0
    return tmp_path / "runs" / "s" / "spec.lock.yaml"


def write(codes: int) -> None:
    Path("s.yaml").write_text(SPEC.replace("CODES", str(codes)))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(call: Call, *options: str) -> str:
    """The one line of a run that is refused and touches nothing."""
    before = contents(Path("runs"))
    result = call("run", "s.yaml", *options)
    assert (result.code, result.out, len(result.err)) == (2, "", 1)
    assert contents(Path("runs")) == before
    return result.err[0]


def test_an_edited_spec_replaces_its_run(lock: Path, call: Call) -> None:
    write(16)
    assert call("run", "s.yaml").code == 0
    assert "codes: 16" in lock.read_text()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("seed=1",), "seed"),
        (("dataset.users=30", "seed=1"), "dataset.users, seed"),
        (("backbone={use: qwen3, layers: 2}",), "backbone"),
        (("stages.tokenize.quantizer.codes=16", "seed=0"), "stages.tokenize.quantizer.codes"),
        (("stages.more={use: tokenize}",), "stages.more"),
    ],
    ids=str,
)
def test_set_does_not_replace_a_run(lock: Path, call: Call, options: tuple[str, ...], named: str) -> None:
    sets = [part for option in options for part in ("--set", option)]
    expected = f"runs/s holds a run of other settings ({named}); give --output"
    assert refused(call, *sets) == refused(call, *sets, "--dry-run") == expected
    assert refused(call, *sets, "--resume") == refused(call, *sets, "--no-cache") == expected
    assert call("run", "s.yaml", *sets, "--output", "runs/other", "--dry-run").code == 0
    assert call("run", "s.yaml", *sets, "--set", "name=other", "--dry-run").code == 0


def test_a_stage_that_set_takes_away_is_not_lost(lock: Path, call: Call) -> None:
    text = SPEC.replace("CODES", "8") + "  second: {use: tokenize}\n"
    Path("s.yaml").write_text(text)
    assert call("run", "s.yaml").code == 0
    assert "(stages.second)" in refused(call, "--set", "stages.second=null")


def test_set_again_as_before_and_with_the_spec_edited(lock: Path, call: Call) -> None:
    """A run that was begun by `--set` is gone on with by the same; an edit beside it is an edit."""
    sets = ("--set", "seed=1", "--set", "name=t")
    assert call("run", "s.yaml", *sets).code == 0
    assert call("run", "s.yaml", *sets).code == 0
    write(16)
    assert call("run", "s.yaml", *sets).code == 0
    assert "give --output" in refused(call, "--set", "seed=2", "--set", "name=t")


def test_what_changes_no_result_may_be_set(lock: Path, call: Call) -> None:
    Path("s.yaml").write_text(SPEC.replace("CODES", "8") + "  ground: {use: sft, epochs: 0.1}\n")
    lock.write_text(lock.read_text() + "  ground: {use: sft, epochs: 0.1, checkpoint_every: 100}\n")
    every = ("--set", "stages.ground.checkpoint_every=5", "--dry-run")
    assert call("run", "s.yaml", *every).code == 0
    assert "(stages.ground.epochs)" in refused(call, *every, "--set", "stages.ground.epochs=3")


@pytest.mark.parametrize("damage", ["", "a: [", "- 1", "\xff"])
def test_a_lock_that_tells_nothing_stops_no_run(lock: Path, call: Call, damage: str) -> None:
    lock.write_text(damage, encoding="latin-1")
    assert call("run", "s.yaml", "--set", "seed=1", "--dry-run").code == 0


def test_resume_begins_no_run(lock: Path, call: Call) -> None:
    assert call("run", "s.yaml", "--resume").code == 0
    told = "--resume: runs/new holds no run to go on with (no spec.lock.yaml); leave the option out"
    assert refused(call, "--resume", "--output", "runs/new") == told
    Path("runs/new").mkdir()
    assert refused(call, "--resume", "--output", "runs/new") == told


def test_the_version(call: Call) -> None:
    assert call("--version") == Result(0, f"lasar-kit {__version__}\n", [])
