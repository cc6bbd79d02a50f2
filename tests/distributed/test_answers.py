"""Two processes give the answers of one."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.distributed.exchanged import Half
from tests.modules import Start

SCRIPT = Path(__file__).with_name("answers.py")


@pytest.fixture(scope="module")
def answers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("answers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def two(preloaded: Start, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what each of two processes answered."""
    folder = tmp_path_factory.mktemp("answers")
    launch = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    found = preloaded(*launch, "-m", "tests.distributed.answers", folder)
    assert found.returncode == 0, found.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_both_processes_hold_the_same(two: list[dict[str, Any]]) -> None:
    assert two[0] == two[1]


def test_what_processes_tell_each_other(two: list[dict[str, Any]]) -> None:
    assert two[0]["together"] == {
        "shares": [0, 1, 4, 9, 16, 25, 36],
        "mean": {
            "all": (3 * 1.0 + 1 * 2.0) / 4,
            "second": (3 * 0.0 + 1 * 5.0) / 4,
            "a_min": -3.0,
            "b_min": -1.0,
            "a_max": -6.0,
            "b_max": 0.0,
            "second_max": -4.0,
            "second_min": 6.0,
        },
        "nobody": {"all": 1.0, "a_min": -3.0, "b_min": 0.0, "a_max": -7.0, "b_max": 0.0},
        "max": 9,
        "sum": [2, 1],
        "main": 0,
    }


@pytest.mark.parametrize("part", ["ranking", "embeddings"])
def test_lists_and_embeddings_are_equal_to_the_last_bit(
    two: list[dict[str, Any]], answers: ModuleType, part: str
) -> None:
    assert two[0][part] == getattr(answers, part)()


@pytest.mark.parametrize("trained", ["all", "lora"])
@pytest.mark.parametrize("kind", ["sft", "rl", "words", "told", "every", "soft"])
def test_updates_are_those_of_one_process(
    two: list[dict[str, Any]], answers: ModuleType, kind: str, trained: str
) -> None:
    """Unequal shares, thought about for 1 to 3 steps, or with a text behind some; weights whole, and sharded
    by `fully_shard`."""
    alone = getattr(answers, kind)(answers.training_processes(0), trained == "lora")
    for how in ("whole", "sharded"):
        found = two[0][f"{kind} {how} {trained}"]
        assert found["losses"] == pytest.approx(alone["losses"], abs=1e-5)
        assert found["norms"] == pytest.approx(alone["norms"], rel=1e-5)
        for ours, theirs in zip(found["terms"], alone["terms"], strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)
        assert found["lists"] == alone["lists"]
    moved = max(alone["losses"]) - min(alone["losses"])
    assert moved > 0.1
    assert all(norm > 0 for norm in alone["norms"])


def test_a_weight_that_no_loss_reaches_is_left_alone(two: list[dict[str, Any]]) -> None:
    torch.manual_seed(0)
    assert two[0]["unreached"] == Half().unused.weight.detach().flatten().tolist()
