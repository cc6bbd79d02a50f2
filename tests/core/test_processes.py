"""Alone, a process is the main one and does everything itself; two of them are in tests/distributed."""

import pytest
import torch

from lasar_kit.process import world


def test_alone() -> None:
    assert not world.several()
    assert world.is_main()
    assert world.from_main(lambda: "made") == "made"
    assert world.in_shares([3, 1, 2], lambda n: -n) == [-3, -1, -2]
    assert world.world_max(torch.tensor([[2, 5], [1, 0]])) == 5
    assert world.world_mean({"a": 2.5}, 0.3) == {"a": 2.5}


def test_numbers_are_averaged_and_extremes_are_those_of_all() -> None:
    tables = [
        ({"kl": 1.0, "a_max": -4.0, "a_min": -7.0}, 3.0),
        ({"kl": 5.0, "a_max": -6.0, "b_min": 2.0}, 1.0),
    ]
    found = world.mean_of(tables)
    assert found == {"kl": (3 * 1.0 + 1 * 5.0) / 4, "a_max": -4.0, "a_min": -7.0, "b_min": 2.0}


def test_a_sum_is_a_new_tensor() -> None:
    values = torch.tensor([1, 2])
    world.world_sum(values).add_(1)
    assert values.tolist() == [1, 2]


@pytest.mark.parametrize("given", [None, "16:8"])
def test_deterministic(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    """Refuses what does not repeat, and leaves a choice of cuBLAS's workspace to the user."""
    import os

    from lasar_kit.run import launch

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if given:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
    precision = torch.get_float32_matmul_precision()
    try:
        launch.make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (given or ":4096:8")
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
        torch.set_float32_matmul_precision(precision)
