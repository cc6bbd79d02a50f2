"""Where the gradient of the GRPO loss goes, and that it is the policy gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.grpo.config import GrpoConfig
from lasar_plugins.rl_objective.grpo.objective import Grpo

Make = Callable[..., Rollout]


def grpo(**options: Any) -> Grpo:
    return Grpo(GrpoConfig(use="grpo", **options), Env())


CASES = [
    # ratio, advantage, objective, gradient of the objective in log-probability
    (1.1, 1.0, 1.1, 1.1),
    (1.5, 1.0, 1.2, 0.0),
    (0.5, 1.0, 0.5, 0.5),
    (0.9, -1.0, -0.9, -0.9),
    (0.5, -1.0, -0.8, 0.0),
    (1.5, -1.0, -1.5, -1.5),
]


@pytest.mark.parametrize("kind", ["old", "ref"])
@pytest.mark.parametrize(("ratio", "advantage", "value", "slope"), CASES)
def test_clip_holds_back_gains_and_never_losses(
    rollout: Make, kind: str, ratio: float, advantage: float, value: float, slope: float
) -> None:
    # A group of two: population-normalised advantages are +1 and -1; the other's ratio is 1.
    zeros = torch.zeros(1, 2, 1)
    base = torch.tensor([[[-math.log(ratio)], [0.0]]])
    given_ = {"old_logp": zeros, "ref_logp": zeros} | {f"{kind}_logp": base}
    logp = zeros.clone().requires_grad_()
    made = rollout(rows=1, group=2, logp=logp, rewards=torch.tensor([[advantage, -advantage]]), **given_)
    loss, report = grpo(ratio=kind, beta=0.0, std_ddof=0, epsilon=0.0).loss(made)
    assert float(loss.detach()) == pytest.approx(-(value - advantage) / 2, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, logp)
    assert gradient.flatten().tolist() == pytest.approx([-slope / 2, advantage / 2], abs=1e-6)
    assert report["clipped"] == (0.5 if slope == 0 else 0)
    assert report["ratio"] == pytest.approx((ratio + 1) / 2)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_gradient_at_ratio_one_is_the_policy_gradient(rollout: Make, level: str) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(5, 3, 6, generator=generator, requires_grad=True)
    tokens = torch.randint(0, 6, (5, 4, 3), generator=generator)
    logp = logits.log_softmax(-1)[:, None].expand(-1, 4, -1, -1).gather(3, tokens[..., None])[..., 0]
    made = rollout(logp=logp, old_logp=logp.detach())
    loss, report = grpo(level=level, beta=0.0).loss(made)
    (gradient,) = torch.autograd.grad(loss, logits)
    # d log softmax = one-hot - p; a token weighs 1/M by token and 1 by sequence.
    expected = torch.zeros_like(logits)
    probability = logits.detach().softmax(-1)
    for b in range(5):
        advantage = (made.rewards[b] - made.rewards[b].mean()) / (made.rewards[b].std() + 1e-4)
        for g in range(4):
            for m in range(3):
                direction = -probability[b, m]
                direction[tokens[b, g, m]] += 1
                share = 1 / 3 if level == "token" else 1
                expected[b, m] -= advantage[g] * share * direction / 4 / 5
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)
    assert report["ratio"] == pytest.approx(1)
    assert report["clipped"] == 0


def test_nothing_to_learn_from_still_has_a_gradient_of_zero(rollout: Make) -> None:
    logp = torch.full((5, 4, 3), -1.0, requires_grad=True)
    for made in (
        rollout(logp=logp, rewards=torch.zeros(5, 4)),
        rollout(logp=logp, valid=torch.zeros(5, 4, dtype=torch.bool)),
    ):
        loss, _ = grpo().loss(made)
        (gradient,) = torch.autograd.grad(loss, logp)
        assert float(loss.detach()) == 0
        assert bool((gradient == 0).all())


@pytest.mark.parametrize("ratio", ["old", "ref"])
@pytest.mark.parametrize("kl", ["k3", "exact"])
def test_gradients_reach_the_policy_alone(rollout: Make, ratio: str, kl: str) -> None:
    made = rollout(ref_kl=torch.rand(5, 4, 3, generator=torch.Generator().manual_seed(1)))
    names = ("logp", "old_logp", "ref_logp", "rewards", "depth_logp", "ref_kl")
    leaves = {name: getattr(made, name).clone().requires_grad_() for name in names}
    objective = grpo(ratio=ratio, kl=kl)
    assert objective.exact_kl == (kl == "exact")
    objective.loss(replace(made, **leaves))[0].backward()
    reached = {name for name, leaf in leaves.items() if leaf.grad is not None and bool(leaf.grad.any())}
    assert reached == {"logp"} | ({"ref_kl"} if kl == "exact" else set())


def test_candidates_that_are_not_valid_are_never_read(rollout: Make) -> None:
    made = rollout(rows=3, group=4)
    valid = torch.tensor([[True, True, True, False], [True, True, False, False], [True] * 4])
    loss, report = grpo().loss(replace(made, valid=valid))
    spoilt: dict[str, Any] = {}
    for name, junk in {"logp": -torch.inf, "old_logp": -torch.inf, "ref_logp": torch.nan}.items():
        spoilt[name] = getattr(made, name).masked_fill(~valid[..., None], junk).requires_grad_()
    spoilt["rewards"] = made.rewards.masked_fill(~valid, torch.nan)
    again, report_again = grpo().loss(replace(made, valid=valid, **spoilt))
    assert torch.equal(again.detach(), loss)
    assert report_again == report
    (gradient,) = torch.autograd.grad(again, spoilt["logp"])
    assert bool(gradient.isfinite().all())
    assert bool((gradient[~valid] == 0).all())
    assert bool(gradient[valid].any())


def test_a_mismatch_does_not_overflow(rollout: Make) -> None:
    logp = torch.zeros(5, 4, 3, requires_grad=True)
    far = torch.full((5, 4, 3), -200.0)
    for made in (
        rollout(logp=logp, old_logp=far, ref_logp=far),
        rollout(logp=logp, old_logp=-far, ref_logp=-far),
    ):
        for options in ({"ratio": "ref", "level": "sequence"}, {}):
            loss, _ = grpo(**options).loss(made)
            (gradient,) = torch.autograd.grad(loss, logp)
            assert bool(loss.isfinite())
            assert bool(gradient.isfinite().all())
