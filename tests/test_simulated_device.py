"""Every stage steps on a simulated device: no tensor of the CPU's is met, and few numbers are read back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.benchmarks import importing
from tests.simulated import DEVICE, Simulated, There

READS = 8
"""Numbers that a step reads back at most: shapes of trees and of results."""


@pytest.fixture(scope="module")
def correct() -> Iterator[Any]:
    """benchmarks/gpu_parts/correct.py."""
    with importing() as load:
        yield load("gpu_parts.correct")


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """The device; autocast does not know its name."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    return Simulated()


def on_the_cpu(found: torch.Tensor) -> torch.Tensor:
    return found.value if isinstance(found, There) else found


def test_every_stage_steps_there_as_on_the_cpu(correct: Any, mode: Simulated) -> None:
    with correct.folders() as where:
        for name, work in correct.stages(where).items():
            expected = work("cpu", "fp32")
            mode.reads.clear()
            with mode:
                found = work(str(DEVICE), "fp32")
            # Moving wrapped weights unties them, so that these gradients are of two halves there.
            tied = [key for key in {**found, **expected} if "embed_tokens" in key or "lm_head" in key]
            found = {key: on_the_cpu(value) for key, value in found.items() if key not in tied}
            expected = {key: value for key, value in expected.items() if key not in tied}
            assert correct.apart(found, expected, "fp32")["passed"], name
            assert mode.reads.total() <= READS, (name, mode.reads)


@pytest.mark.parametrize("indexed", [False, True])
def test_a_tensor_of_the_cpu_is_refused(correct: Any, mode: Simulated, indexed: bool) -> None:
    """A loop that makes one, as an operand or as an index."""
    with correct.folders() as where, mode:
        world = correct.World(str(DEVICE), correct.backbone_config("qwen3", where))
        run = world.model.latent_loop.run

        def wrong(backbone: Any, prompt: Any, *rest: Any) -> Any:
            if indexed:
                prompt.tip[torch.arange(len(prompt.tip))]
            else:
                prompt.tip + torch.zeros(len(prompt.tip), 1)
            return run(backbone, prompt, *rest)

        world.model.latent_loop.run = wrong
        with pytest.raises(AssertionError, match="meets a CPU tensor"):
            world.sft()(world.lesson(packed=False, anchored=True))


def test_what_is_read_back_is_counted(mode: Simulated) -> None:
    with mode:
        value = torch.ones(3, device=DEVICE)
        assert int(value.sum()) == 3
        assert value.tolist() == [1, 1, 1]
        assert value.to("cpu").equal(torch.ones(3))
    assert mode.reads.total() == 3
