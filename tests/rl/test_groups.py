"""Statistics of groups with missing members against numpy, and against the log of a real GRPO run."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.groups import masked_mean, varied, z_scores

LOG = Path("cot") / "grpo_log" / "completions.table.json"


def test_advantages_are_those_of_a_real_log(real_data: Path) -> None:
    table = json.loads((real_data / LOG).read_text(encoding="utf-8"))
    prompt, reward, advantage = (
        table["columns"].index(name) for name in ("prompt", "reward_function", "advantage")
    )
    logged: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in table["data"]:
        logged[row[prompt]].append((float(row[reward]), float(row[advantage])))
    values = torch.tensor(list(logged.values()), dtype=torch.float64)
    assert values.shape == (32, 16, 2)
    rewards, advantages = values.unbind(-1)
    everyone = torch.ones(32, 16, dtype=torch.bool)

    def error(rewards: torch.Tensor, ddof: int, epsilon: float) -> float:
        return float((z_scores(rewards, everyone, ddof, epsilon) - advantages).abs().max())

    assert error(rewards, ddof=1, epsilon=1e-4) < 4e-7  # the log itself is in float32
    assert error(rewards.float(), ddof=1, epsilon=1e-4) < 1e-6
    assert error(rewards, ddof=0, epsilon=1e-4) > 0.01
    assert error(rewards, ddof=1, epsilon=0.0) > 1e-4


@st.composite
def members(draw: st.DrawFn) -> tuple[list[list[float]], list[list[bool]]]:
    """Groups of few distinct rewards, so that ties are common, and who of them is there."""
    size = draw(st.integers(1, 6))
    value = st.sampled_from([0.1, -0.3, 1.0, 0.7])
    values = draw(st.lists(st.lists(value, min_size=size, max_size=size), min_size=1, max_size=5))
    return values, [draw(st.lists(st.booleans(), min_size=size, max_size=size)) for _ in values]


@given(case=members(), ddof=st.integers(0, 1), epsilon=st.sampled_from([0.0, 1e-4, 0.5]))
def test_groups_are_those_of_numpy_over_the_members(case: Any, ddof: int, epsilon: float) -> None:
    values, masks = case
    mask = torch.tensor(masks)
    held = torch.tensor(values).masked_fill(~mask, float("nan"))  # never to be read
    mean, differ, scores = masked_mean(held, mask), varied(held, mask), z_scores(held, mask, ddof, epsilon)
    for b, (row, present) in enumerate(zip(values, masks, strict=True)):
        some = np.array([value for value, here in zip(row, present, strict=True) if here])
        assert float(mean[b]) == pytest.approx(some.mean() if len(some) else 0, abs=1e-6)
        assert bool(differ[b]) == (len(set(some)) > 1)
        expected = np.zeros(len(some))
        if len(set(some)) > 1:
            expected = (some - some.mean()) / (some.std(ddof=ddof) + epsilon)
        assert scores[b][mask[b]].tolist() == pytest.approx(list(expected), abs=1e-5)
        assert scores[b][~mask[b]].tolist() == [0.0] * (len(row) - len(some))


def test_equal_numbers_never_differ() -> None:
    values = torch.full((1, 7), 0.1)
    assert float(values.std()) > 0, "the rounding that this is about"
    assert not bool(varied(values, torch.ones(1, 7, dtype=torch.bool)))


def test_no_gradient_reaches_a_masked_place() -> None:
    values = torch.tensor([[1.0, float("nan"), 3.0], [float("inf"), float("-inf"), float("nan")]])
    mask = torch.tensor([[True, False, True], [False, False, False]])
    values.requires_grad_()
    masked_mean(values, mask).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5, 0, 0.5], [0, 0, 0]]
