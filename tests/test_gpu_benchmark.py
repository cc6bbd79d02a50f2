"""benchmarks/gpu.py on a CPU: its checks find what is wrong, and every part runs at its tiny size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def parts() -> Iterator[Any]:
    """The package benchmarks/gpu_parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        import gpu_parts

        yield gpu_parts


@pytest.fixture(scope="module")
def correct(parts: Any) -> Any:
    from gpu_parts import correct

    return correct


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
