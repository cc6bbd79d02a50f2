"""REINFORCE against loops, and its mean gradient against the derivative of what it should descend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.interfaces import RLObjective
from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.reinforce.config import ReinforceConfig
from lasar_plugins.rl_objective.reinforce.objective import Reinforce

Make = Callable[..., Rollout]


def reinforce(**options: Any) -> Reinforce:
    return Reinforce(ReinforceConfig(use="reinforce", **options), Env())


def world(reward: float) -> torch.Tensor:
    return torch.tensor(reward)


@given(
    seed=st.integers(0, 10_000),
    penalty=st.sampled_from([0.0, 5e-4, 0.3]),
    entropy=st.sampled_from([0.0, 1e-3, 0.5]),
    before=st.sampled_from([None, 0.4]),
)
def test_loss_and_report_are_those_of_a_loop(
    rollout: Make, seed: int, penalty: float, entropy: float, before: float | None
) -> None:
    valid = torch.rand(5, 4, generator=torch.Generator().manual_seed(seed)) < 0.8
    made = rollout(seed, valid=valid, world_reward=world(-0.2))
    made = replace(made, rewards=made.rewards.masked_fill(~valid, torch.nan))
    objective = reinforce(step_penalty=penalty, entropy=entropy)
    if before is not None:
        objective.observe(replace(made, world_reward=world(before)))
    baseline = -0.2 if before is None else before
    loss, report = objective.loss(made)
    total, entropies, advantages = 0.0, [], []
    for b in range(5):
        rewards = [float(made.rewards[b, g]) for g in range(4) if bool(valid[b, g])]
        mean = sum(rewards) / len(rewards) if rewards else 0.0
        depth, index = int(made.depth[b]), int(made.depth_index[b])
        advantages.append(mean - baseline - penalty * depth)
        total -= advantages[-1] * float(made.depth_logp[b, index])
        entropies.append(-sum(math.exp(lp) * lp for lp in made.depth_logp[b].tolist()))
    assert float(loss) == pytest.approx(total / 5 - entropy * sum(entropies) / 5, rel=1e-4, abs=1e-5)
    assert report == pytest.approx(
        {
            "depth": sum(made.depth.tolist()) / 5,
            "depth_entropy": sum(entropies) / 5,
            "depth_advantage": sum(advantages) / 5,
            "baseline": baseline,
        },
        rel=1e-4,
        abs=1e-5,
    )
    assert all(type(value) is float for value in report.values())


@pytest.mark.parametrize("lean", [-1.3, 0.0, 0.4])
@pytest.mark.parametrize("entropy", [0.0, 0.2])
def test_mean_gradient_of_two_arms_is_the_analytic_one(rollout: Make, lean: float, entropy: float) -> None:
    # Depths 2 and 5 with logits (lean, 0) and rewards 0.3 and 0.9, drawn as often as the policy draws them.
    depths, rewards, penalty, baseline = (2, 5), (0.3, 0.9), 0.05, 0.5
    p = 1 / (1 + math.exp(-lean))
    objective = reinforce(step_penalty=penalty, entropy=entropy)
    start = rollout(world_reward=world(baseline))
    objective.observe(start)
    mean = 0.0
    for index, probability in enumerate((p, 1 - p)):
        logit = torch.tensor([lean], requires_grad=True)
        made = rollout(
            rows=1,
            rewards=torch.full((1, 4), rewards[index]),
            depth=torch.tensor([depths[index]]),
            depth_index=torch.tensor([index]),
            depth_logp=torch.cat([logit, torch.zeros(1)]).log_softmax(0)[None],
            world_reward=world(-7.0),
        )
        (gradient,) = torch.autograd.grad(objective.loss(made)[0], logit)
        mean += probability * float(gradient)
    # E[reward - cost] = p a + (1 - p) b has slope p (1 - p)(a - b); the entropy -lean p (1 - p); b_EMA none.
    net = [r - penalty * n for r, n in zip(rewards, depths, strict=True)]
    expected = -p * (1 - p) * (net[0] - net[1]) + entropy * lean * p * (1 - p)
    assert mean == pytest.approx(expected, abs=1e-6)


def test_steps_follow_the_reward(rollout: Make) -> None:
    made = rollout(rows=1, rewards=torch.ones(1, 4), world_reward=world(0.0))
    logits = torch.zeros(1, 3, requires_grad=True)
    for reward, sign in ((1.0, 1), (-1.0, -1)):
        told = replace(made, rewards=reward * made.rewards, depth_logp=logits.log_softmax(-1))
        (gradient,) = torch.autograd.grad(reinforce().loss(told)[0], logits)
        chosen = int(made.depth_index[0])
        assert math.copysign(1, -float(gradient[0, chosen])) == sign


def test_baseline_is_a_moving_average_from_the_first_mean(rollout: Make) -> None:
    objective = reinforce()
    baselines = []
    for reward in (1.0, 0.0, 0.5, 0.5):
        made = rollout(world_reward=world(reward))
        baselines.append(objective.loss(made)[1]["baseline"])
        objective.observe(made)
    # 1 at first, then 0.95 b + 0.05 r: 1, 0.95, 0.9275.
    assert baselines == pytest.approx([1.0, 1.0, 0.95, 0.9275])


def test_momentum_is_an_option(rollout: Make) -> None:
    objective = reinforce(momentum=0.5)
    for reward in (1.0, 0.0):
        objective.observe(rollout(world_reward=world(reward)))
    assert float(objective.baseline) == pytest.approx(0.5)


def test_entropy_of_even_choices_and_of_none() -> None:
    def entropy(logp: list[float]) -> float:
        made = Rollout(
            *(torch.zeros(1, 1, 1),) * 3,
            rewards=torch.zeros(1, 1),
            valid=torch.ones(1, 1, dtype=torch.bool),
            depth=torch.tensor([1]),
            depth_logp=torch.tensor([logp]),
            depth_index=torch.tensor([0]),
            world_reward=world(0.0),
        )
        return reinforce().loss(made)[1]["depth_entropy"]

    assert entropy([math.log(1 / 8)] * 8) == pytest.approx(math.log(8))
    assert entropy([0.0]) == 0
    assert entropy([math.log(0.9), math.log(0.1)]) == pytest.approx(0.325083, abs=1e-6)


@pytest.mark.parametrize("clip", [0.2, 0.05])
def test_later_updates_descend_the_clipped_surrogate(rollout: Make, clip: float) -> None:
    """Against PPO's objective, mean of min(r A, clip(r) A), differentiated; at r = 1 it is REINFORCE."""
    logits = (0.3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(4))).requires_grad_()
    made = rollout(seed=2, rows=200)
    old = made.depth_logp
    objective = reinforce(step_penalty=0.05, entropy=0.0, clip=clip)
    later = replace(made, depth_logp=(old + logits).log_softmax(-1), old_depth_logp=old)
    (found,) = torch.autograd.grad(objective.loss(later)[0], logits, retain_graph=True)
    picked = made.depth_index[:, None]
    ratio = (later.depth_logp.gather(1, picked) - old.gather(1, picked))[:, 0].exp()
    advantage = made.rewards.mean(1) - 0.1 - 0.05 * made.depth
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    (expected,) = torch.autograd.grad(-gain.mean(), logits)
    torch.testing.assert_close(found, expected)
    assert 20 < int((expected.abs().sum(1) == 0).sum()) < 180  # some are clipped, some are not
    first = [objective.loss(replace(made, old_depth_logp=given))[0] for given in (None, made.depth_logp)]
    torch.testing.assert_close(first[0], first[1])


def test_only_observe_changes_state(rollout: Make) -> None:
    objective, made = reinforce(), rollout()
    before = {
        field.name: value.clone()
        for field in fields(made)
        if (value := getattr(made, field.name)) is not None
    }
    state = {name: value.clone() for name, value in objective.state_dict().items()}
    first, second = objective.loss(made), objective.loss(made)
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    assert all(torch.equal(value, state[name]) for name, value in objective.state_dict().items())
    objective.observe(made)
    assert not all(torch.equal(value, state[name]) for name, value in objective.state_dict().items())
    for name, value in before.items():
        assert torch.equal(getattr(made, name), value)


def test_state_resumes(rollout: Make) -> None:
    trained, resumed = reinforce(), reinforce()
    for reward in (0.8, 0.2):
        trained.observe(rollout(world_reward=world(reward)))
    state = {name: value.clone() for name, value in trained.state_dict().items()}
    resumed.load_state_dict(state)
    later = rollout(world_reward=world(0.5))
    for _ in range(2):
        assert torch.equal(trained.loss(later)[0], resumed.loss(later)[0])
        trained.observe(later)
        resumed.observe(later)
    assert float(resumed.baseline) == pytest.approx(0.95 * (0.95 * 0.77 + 0.05 * 0.5) + 0.05 * 0.5)


def test_gradients_reach_the_policy_alone(rollout: Make) -> None:
    made = rollout()
    names = ("logp", "old_logp", "ref_logp", "rewards", "depth_logp", "world_reward")
    leaves = {name: getattr(made, name).clone().requires_grad_() for name in names}
    objective = reinforce()
    told = replace(made, **leaves)
    objective.loss(told)[0].backward()
    assert {name for name, leaf in leaves.items() if leaf.grad is not None} == {"depth_logp"}
    objective.observe(told)
    assert not objective.baseline.requires_grad
    assert not list(objective.parameters())


def test_it_reads_no_answer_as_it_says(rollout: Make) -> None:
    made, objective = rollout(), reinforce()
    nothing = torch.full_like(made.logp, torch.nan)
    without = replace(made, logp=nothing, old_logp=nothing, ref_logp=nothing, ref_kl=nothing)
    assert not objective.reads_answers
    assert torch.equal(objective.loss(without)[0], objective.loss(made)[0])


def test_the_catalogue_builds_it() -> None:
    catalogue = Catalogue.discover()
    config = catalogue.config_class("rl_objective", "reinforce")(use="reinforce")
    assert isinstance(catalogue.build("rl_objective", config, Env()), RLObjective)
    assert config.model_dump() == {
        "use": "reinforce", "step_penalty": 5e-4, "entropy": 1e-3, "momentum": 0.95, "clip": 0.2
    }  # fmt: skip
