"""Laws that are tried on another device: theirs is moved, a component's own is not.

The device is `meta`, which needs no accelerator: nothing can be computed on it, but where a tensor stands can
be told.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

import lasar_kit.testing
from lasar_kit.testing import bench, tiny
from lasar_kit.testing.checks.common import global_seed
from lasar_kit.testing.strategies import Thinking, numbers

LAW = str(Path(lasar_kit.testing.__file__).parent / "checks" / "made_up.py")
ELSEWHERE = str(Path(lasar_kit.testing.__file__).parents[1] / "model" / "made_up.py")


def made_in(file: str, expression: str) -> torch.Tensor:
    """What an expression gives that stands in a file."""
    found: Any = eval(compile(expression, file, "eval"), {"torch": torch})  # noqa: S307
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("expression", ["torch.zeros(2)", "torch.tensor([1])", "torch.arange(3)"])
def test_what_a_law_makes_stands_there_and_what_a_component_makes_does_not(expression: str) -> None:
    with bench.on("meta"):
        assert made_in(LAW, expression).device.type == "meta"
        assert made_in(ELSEWHERE, expression).device.type == "cpu"
        assert made_in(LAW, expression[:-1] + ", device='cpu')").device.type == "cpu"
    assert made_in(LAW, expression).device.type == "cpu"


def test_cases_and_doubles_stand_there_and_are_put_back() -> None:
    before = tiny.backbone()
    assert before.table.device.type == "cpu"
    with bench.on("meta"):
        assert numbers(2, 3).device.type == "meta"
        assert tiny.backbone().table.device.type == "meta"
        assert tiny.environment().table.tokens.device.type == "meta"  # type: ignore[union-attr]
        ids, real, tips = Thinking([[3, 4]], [[1]], [[1]], [[5]]).ids()
        assert {made.device.type for made in (ids, real, tips)} == {"meta"}
    assert tiny.backbone().table.device.type == "cpu"


def test_numbers_are_those_of_the_cpu() -> None:
    expected = numbers(2, 3, seed=4)
    with bench.on("cpu"):
        assert numbers(2, 3, seed=4).equal(expected)


def test_the_generators_of_gpus_are_seeded_watched_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stand-ins, which the CPU's generators of their own are."""
    gpus = [torch.Generator().manual_seed(place) for place in (7, 8)]
    before = [gpu.get_state() for gpu in gpus]

    def put(states: list[torch.Tensor]) -> None:
        for gpu, state in zip(gpus, states, strict=True):
            gpu.set_state(state)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [gpu.get_state() for gpu in gpus])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", put)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: [gpu.manual_seed(seed) for gpu in gpus])
    drawn = []
    for _ in range(2):
        with global_seed(3) as moved:
            assert moved() == []
            drawn.append(torch.rand(4, generator=gpus[1]))
            assert moved() == ["torch"]
        assert all(gpu.get_state().equal(state) for gpu, state in zip(gpus, before, strict=True))
    assert drawn[0].equal(drawn[1])
