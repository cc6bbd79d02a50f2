"""Depth policies, and how a depth is taken from them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from lasar_kit.core.depth import depth_at, depth_from, forced_depth, greedy_depth, nearest_choice
from lasar_kit.core.interfaces import DepthPolicy
from lasar_kit.core.values import Env, Prompt
from lasar_kit.errors import UserError
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.depth_policy.fixed.config import DepthFixedConfig
from lasar_plugins.depth_policy.fixed.policy import DepthFixed
from lasar_plugins.depth_policy.mlp.config import DepthMlpConfig
from lasar_plugins.depth_policy.mlp.policy import DepthMlp


def mlp(seed: int = 0, width: int = 6, **options: Any) -> DepthMlp:
    config = DepthMlpConfig.model_validate({"use": "mlp", **options})
    return DepthMlp(config, Env(seed=seed, hidden_size=width))


def states(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Table:
    """Logits that are the state itself."""

    def __init__(self, *support: int) -> None:
        self.support = support

    def logits(self, prompt: Prompt) -> Tensor:
        return prompt.h0


def test_mlp_is_the_formula_of_the_paper() -> None:
    """W2 tanh(W1 h0 + b1) + b2, one number at a time."""
    policy, h0 = mlp(n_max=3, width=2), [0.5, -2.0]
    with torch.no_grad():
        policy.hidden.bias.copy_(torch.tensor([0.1, -0.3]))
        policy.output.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        policy.output.weight.mul_(50)
    w1, w2 = policy.hidden.weight.tolist(), policy.output.weight.tolist()
    inner = [
        math.tanh(sum(w * x for w, x in zip(row, h0, strict=True)) + b)
        for row, b in zip(w1, (0.1, -0.3), strict=True)
    ]
    expected = [
        sum(w * x for w, x in zip(row, inner, strict=True)) + b for row, b in zip(w2, (1, 2, 3), strict=True)
    ]
    assert policy.logits(prompt_of(torch.tensor([[h0]])))[0, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_mlp_has_the_support_its_options_give() -> None:
    assert isinstance(mlp(), DepthPolicy)
    assert mlp().support == (1, 2, 3, 4, 5, 6, 7, 8)
    assert mlp(n_max=2, allow_zero=True).support == (0, 1, 2)
    assert mlp(n_max=3).logits(prompt_of(states(2, 5, 6))).shape == (2, 5, 3)
    assert mlp(n_max=3, allow_zero=True).logits(prompt_of(states(2, 5, 6))).shape == (2, 5, 4)
    shapes = {name: tuple(x.shape) for name, x in mlp().state_dict().items()}
    assert shapes == {
        "hidden.weight": (6, 6), "hidden.bias": (6,), "output.weight": (8, 6), "output.bias": (8,)
    }  # fmt: skip


def test_mlp_is_initialised_by_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    one = mlp(seed=4, width=64)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    again, other = mlp(seed=4, width=64), mlp(seed=5, width=64)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.allclose(one.hidden.weight, other.hidden.weight, atol=0.1)
    assert float(one.hidden.weight.detach().std()) == pytest.approx(64**-0.5, rel=0.05)
    assert float(one.output.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    probabilities = one.logits(prompt_of(states(50, 1, 64))).detach().softmax(-1)
    assert 0.06 < float(probabilities.min()) < float(probabilities.max()) < 0.25
    seeded = torch.randn(64, 64, generator=torch.Generator().manual_seed(4))
    assert (
        abs(
            float(torch.corrcoef(torch.stack([seeded.flatten(), one.hidden.weight.detach().flatten()]))[0, 1])
        )
        < 0.1
    )


@pytest.mark.parametrize("detach", [False, True])
def test_gradient_reaches_the_backbone_unless_cut(detach: bool) -> None:
    policy, h0 = mlp(detach_h0=detach), states(2, 1, 6).requires_grad_()
    policy.logits(prompt_of(h0)).log_softmax(-1)[..., 0].sum().backward()
    assert (h0.grad is None) == detach
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in policy.parameters())


def test_mlp_reads_bfloat16_states() -> None:
    h0 = states(2, 1, 6)
    logits = mlp().logits(prompt_of(h0.bfloat16()))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, mlp().logits(prompt_of(h0.bfloat16().float())))
    assert mlp().bfloat16().logits(prompt_of(h0)).dtype == torch.float32


def uniform(h0: torch.Tensor, seed: int) -> torch.Tensor:
    """A number in [0, 1) for each branch."""
    return torch.rand(h0.shape[:-1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("depth", [0, 4])
def test_fixed_has_one_choice(depth: int) -> None:
    policy = DepthFixed(DepthFixedConfig(use="fixed", depth=depth), Env())
    h0 = states(2, 3, 5)
    assert isinstance(policy, DepthPolicy)
    assert policy.support == (depth,)
    assert torch.equal(policy.logits(prompt_of(h0)), torch.zeros(2, 3, 1))
    assert greedy_depth(policy, prompt_of(h0)).tolist() == [[depth] * 3] * 2
    depths, _, logp = depth_at(policy, prompt_of(h0), uniform(h0, 0))
    assert depths.tolist() == [[depth] * 3] * 2
    assert logp.tolist() == [[[0.0]] * 3] * 2


def test_greedy_takes_the_most_probable() -> None:
    h0 = torch.tensor([[[0.0, 2.0, 1.0], [5.0, -1.0, 4.0]]])
    assert greedy_depth(Table(2, 5, 9), prompt_of(h0)).tolist() == [[5, 2]]


def test_draws_follow_the_distribution() -> None:
    """Chi-squared over 20,000 draws; a depth of probability 0 is never drawn, at either end."""
    probability = torch.tensor([0.0, 0.5, 0.1, 0.35, 0.05, 0.0])
    h0 = probability.log().expand(200, 100, 6)
    depths, index, _ = depth_at(Table(1, 2, 3, 4, 5, 8), prompt_of(h0), uniform(h0, 2))
    counts = index.flatten().bincount(minlength=6)
    assert counts[[0, 5]].tolist() == [0, 0]
    assert stats.chisquare(counts[1:5], 20_000 * probability[1:5].double()).pvalue > 0.01
    assert torch.equal(depths, torch.tensor([1, 2, 3, 4, 5, 8])[index])


def test_a_draw_inverts_the_cumulative_distribution() -> None:
    """By a plain loop."""
    h0 = states(3, 4, 5)
    numbers = uniform(h0, 6)
    _, index, logp = depth_at(Table(1, 2, 3, 4, 5), prompt_of(h0), numbers)
    for b in range(3):
        for r in range(4):
            weights = [math.exp(x) for x in h0[b, r].tolist()]
            left, choice = float(numbers[b, r]) * sum(weights), 0
            while left >= weights[choice]:
                left -= weights[choice]
                choice += 1
            assert int(index[b, r]) == choice
            assert logp[b, r].tolist() == pytest.approx(
                [math.log(w / sum(weights)) for w in weights], abs=1e-5
            )


@pytest.mark.parametrize(("number", "expected"), [(0.0, 1), (1 - 2**-53, 3)])
def test_the_least_and_the_greatest_number_draw_a_possible_depth(number: float, expected: int) -> None:
    """Choices 0 and 4 are impossible; 1,000 distributions, whose float32 probabilities rarely sum to 1."""
    h0 = torch.cat([states(1, 1000, 3), torch.full((1, 1000, 2), -torch.inf)], dim=-1)[..., [3, 0, 1, 2, 4]]
    _, index, _ = depth_at(
        Table(1, 2, 3, 4, 5), prompt_of(h0), torch.full((1, 1000), number, dtype=torch.float64)
    )
    assert index.unique().tolist() == [expected]


def test_gradients_run_through_the_log_probability() -> None:
    h0 = states(1, 1, 3).requires_grad_()
    depths, _, logp = depth_at(Table(1, 2, 3), prompt_of(h0), uniform(h0, 0))
    logp[0, 0, 1].backward()
    expected = torch.tensor([0.0, 1.0, 0.0]) - h0.detach()[0, 0].softmax(-1)
    assert h0.grad is not None
    torch.testing.assert_close(h0.grad[0, 0], expected)
    assert not depths.requires_grad


def test_forced_depth_is_one_the_policy_could_choose() -> None:
    h0 = states(2, 3, 6)
    assert forced_depth(mlp(), prompt_of(h0), 5).tolist() == [[5] * 3] * 2
    with pytest.raises(UserError, match=r"depth 9 cannot be forced: this model's depth policy has 1, 2, 3"):
        forced_depth(mlp(), prompt_of(h0), 9)


def test_the_nearest_choice_is_the_smaller_of_two() -> None:
    found = nearest_choice(Table(1, 2, 4, 8), torch.tensor([[0, 1, 3], [5, 6, 9]]))
    assert found.tolist() == [[0, 0, 1], [2, 2, 3]]


def test_a_depth_from_the_label_upwards() -> None:
    """Each choice that is large enough has an equal share of [0, 1), in order; labels are clipped."""
    policy = Table(1, 2, 4, 8)
    numbers = torch.tensor([0.0, 0.24, 0.26, 0.5, 0.75, 1 - 1e-9], dtype=torch.float64)
    drawn = {
        least: depth_from(policy, torch.full((6,), least), numbers).tolist() for least in (1, 2, 3, 4, 8, 9)
    }
    assert drawn[1] == [1, 1, 2, 4, 8, 8]
    assert drawn[2] == drawn[3] == [2, 2, 2, 4, 8, 8]
    assert drawn[4] == [4, 4, 4, 8, 8, 8]
    assert drawn[8] == drawn[9] == [8] * 6
