"""The loss of a batch is that of its shares, each weighted by what it is a mean over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch

from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.grpo.config import GrpoConfig
from lasar_plugins.rl_objective.grpo.objective import Grpo
from lasar_plugins.rl_objective.reinforce.config import ReinforceConfig
from lasar_plugins.rl_objective.reinforce.objective import Reinforce

SHARED = ("world_reward", "ref_kl")


def share(rollout: Rollout, rows: slice) -> Rollout:
    return Rollout(
        **{
            field.name: value if field.name in SHARED or value is None else value[rows]
            for field in fields(rollout)
            for value in [getattr(rollout, field.name)]
        }
    )


def counted(objective: Any, rollout: Rollout) -> int:
    return (
        objective.counted(rollout.rewards, rollout.valid)
        if hasattr(objective, "counted")
        else len(rollout.depth)
    )


@pytest.mark.parametrize(
    "objective",
    [
        Grpo(GrpoConfig(use="grpo", constant_groups="skip"), Env(seed=0)),
        Grpo(GrpoConfig(use="grpo", constant_groups="skip", mean_over="varied"), Env(seed=0)),
        Grpo(GrpoConfig(use="grpo", constant_groups="keep", beta=0.3), Env(seed=0)),
        Reinforce(ReinforceConfig(use="reinforce"), Env(seed=0)),
    ],
)
@pytest.mark.parametrize("cut", [1, 4, 5])
def test_shares_make_up_the_batch(rollout: Callable[..., Rollout], objective: Any, cut: int) -> None:
    """Seven groups, of which three have equal rewards and one no valid candidate."""
    whole = rollout(seed=3, rows=7)
    whole.rewards[[1, 4, 5]] = 0.5
    whole.valid[5] = False
    parts = [share(whole, slice(0, cut)), share(whole, slice(cut, 7))]
    counts = [counted(objective, part) for part in parts]
    assert sum(counts) == counted(objective, whole)
    losses = [objective.loss(part)[0] for part in parts]
    mean = sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
    torch.testing.assert_close(mean, objective.loss(whole)[0])


def test_the_groups_that_the_loss_is_a_mean_over_are_counted(rollout: Callable[..., Rollout]) -> None:
    whole = rollout(seed=3, rows=7)
    whole.rewards[[1, 4, 5]] = 0.5
    whole.valid[5] = False
    for rule, over, expected in (("skip", "varied", 4), ("skip", "prompts", 6), ("keep", "prompts", 6)):
        options = {"constant_groups": rule, "mean_over": over}
        objective = Grpo(GrpoConfig.model_validate({"use": "grpo", **options}), Env(seed=0))
        assert objective.counted(whole.rewards, whole.valid) == expected
