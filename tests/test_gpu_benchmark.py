"""benchmarks/gpu.py on a CPU: its checks find what is wrong, and every part runs at its tiny size."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.benchmarks import importing

ROOT = Path(__file__).resolve().parents[1]
Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports benchmarks/gpu.py and what is in benchmarks/gpu_parts."""
    with importing() as found:
        yield found


@pytest.fixture(scope="module")
def gpu(load: Load) -> Any:
    return load("gpu")


@pytest.fixture(scope="module")
def correct(load: Load) -> Any:
    return load("gpu_parts.correct")


@pytest.fixture
def bench(load: Load, tmp_path: Path) -> Callable[[str, float], Any]:
    """Makes what a part is measured with, by its letter and the seconds that it is given."""

    def make(part: str, seconds: float) -> Any:
        place = tmp_path / "out.jsonl"
        return load("gpu_parts.common").Bench(part, place, seconds=seconds, smoke=True, device="cpu")

    return make


def test_every_stage_is_checked_and_agrees_with_itself(correct: Any) -> None:
    with correct.folders() as where:
        for name in correct.stages(where):
            found = correct.check_stage("cpu", name, where, "fp32")()
            assert found["passed"], (name, found)
            assert found["tensors"] > 0
        for name in correct.BACKBONES:
            assert correct.check_backbone("cpu", name, where, "fp32")()["passed"], name


def test_a_gap_is_seen_wherever_it_is(correct: Any) -> None:
    """Of outputs, of a gradient beside the largest, of items; and one that is not finite."""
    sound = {
        "loss": torch.tensor([4.0, 2.0]),
        "gradient a": torch.tensor([10.0]),
        "gradient b": torch.tensor([1.0]),
        "items": torch.tensor([1, 2, 3, 4]),
    }
    assert correct.apart(sound, sound, "fp32")["passed"]
    small = correct.apart({**sound, "loss": torch.tensor([4.0, 2.0002])}, sound, "fp32")
    assert small["passed"]
    assert small["gap"] == pytest.approx(0.0002 / 4, rel=1e-3)
    wrong: list[tuple[str, torch.Tensor]] = [
        ("loss", torch.tensor([4.0, 2.01])),
        ("loss", torch.tensor([4.0, torch.nan])),
        ("gradient b", torch.tensor([1.1])),
        ("items", torch.tensor([1, 2, 4, 3])),
    ]
    for name, value in wrong:
        found = correct.apart({**sound, name: value}, sound, "fp32")
        assert not found["passed"], (name, found)
    steep = correct.apart({**sound, "gradient b": torch.tensor([1.1])}, sound, "fp32")
    assert steep["gradient_gap"] == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(AssertionError):
        correct.apart({}, sound, "fp32")


@pytest.mark.parametrize("part", ["c", "d", "e", "f", "g"])
def test_a_part_runs_at_its_tiny_size(
    gpu: Any, load: Load, bench: Callable[[str, float], Any], part: str
) -> None:
    made = bench(part, 600)
    load(f"gpu_parts.{gpu.PARTS[part][0]}").part(made)
    lines = gpu.read(made.out)
    assert [
        line for line in lines if "error" in line or "skipped" in line or not line.get("passed", True)
    ] == []
    assert len(lines) >= 2
    assert {line["part"] for line in lines} == {part}


def test_what_a_part_cannot_do_is_told_and_the_next_begins(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that hangs, one that dies, one that comes to its end; time is dealt anew before each."""
    asked: list[list[str]] = []

    def run(command: list[str], env: dict[str, str], timeout: float) -> SimpleNamespace:
        asked.append(command)
        part = command[command.index("--part") + 1]
        assert timeout == pytest.approx(
            gpu.GRACE * float(command[command.index("--seconds") + 1]) + gpu.START, abs=0.1
        )
        if part == "a":
            raise subprocess.TimeoutExpired(command, timeout)
        return SimpleNamespace(returncode=1 if part == "b" else 0)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    out = tmp_path / "out.jsonl"
    assert not gpu.drive(Namespace(minutes=2.0, out=out, smoke=True), ["a", "b", "c"])
    assert [line.get("error", "")[:6] for line in gpu.read(out)] == ["killed", "its pr", ""]
    assert sum(line["given"] > 10 for line in gpu.read(out)) == 3
    assert all("--smoke" in command for command in asked)
    assert gpu.drive(Namespace(minutes=2.0, out=out, smoke=True), ["c"])


def test_an_error_is_written_with_its_place_and_a_cut_line_is_left_out(
    gpu: Any, load: Load, bench: Callable[[str, float], Any]
) -> None:
    text, made = load("gpu_parts.tables").text, bench("a", 10)

    def fails() -> dict[str, Any]:
        raise RuntimeError("two\nlines")

    made.attempt("wrong", fails)
    made.attempt("right", lambda: {"passed": True, "gap": 1.23456789e-7, "ms": {"a": 1.0}})
    made.attempt("late", dict, least=11)
    with made.out.open("a") as file:
        file.write('{"part": "a", "na')
    wrong, right, late = gpu.read(made.out)
    assert wrong["error"] == "RuntimeError: two lines"
    assert wrong["where"].startswith("test_gpu_benchmark.py:")
    assert right["gap"] == 1.2346e-07
    assert late["skipped"] == "no time left"
    lines = text([wrong, right, late]).splitlines()
    assert "| right | 1.2e-07 |" in " ".join(text([{**right, "name": "right fp32"}]).split())
    assert lines[-2:] == ["- Failed: wrong: RuntimeError: two lines", "- Not reached: late."]


def test_the_script_ends_with_an_error_where_there_is_no_gpu(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(out), "--parts", "c"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "torch sees no GPU" in out.read_text()
