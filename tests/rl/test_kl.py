"""KL divergences by enumerating small distributions, and against torch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import kl_div

from lasar_kit.core.kl import exact_kl, k3

seeds = st.integers(0, 10_000)


def pair(seed: int, choices: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of two random policies over `choices`."""
    logits = 2 * torch.randn(2, choices, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    policy, reference = logits.log_softmax(-1)
    return policy, reference


@given(seed=seeds)
def test_exact_is_the_sum_over_choices(seed: int) -> None:
    policy, reference = pair(seed)
    by_hand = sum(math.exp(p) * (p - q) for p, q in zip(policy.tolist(), reference.tolist(), strict=True))
    torch.testing.assert_close(float(exact_kl(policy, reference)), by_hand)
    expected = kl_div(reference, policy, reduction="sum", log_target=True)
    torch.testing.assert_close(exact_kl(policy, reference), expected)


@given(seed=seeds)
def test_k3_is_unbiased_never_negative_and_zero_on_identity(seed: int) -> None:
    policy, reference = pair(seed)
    estimate = k3(policy, reference)
    torch.testing.assert_close((policy.exp() * estimate).sum(), exact_kl(policy, reference))
    assert float(estimate.min()) >= 0
    assert float(k3(policy.float(), reference.float()).min()) >= 0
    assert k3(policy, policy).tolist() == [0.0] * 5
    assert float(exact_kl(policy, policy)) == 0


def test_k3_by_hand() -> None:
    got = k3(torch.tensor([0.5, 0.2]).log(), torch.tensor([0.25, 0.8]).log())
    expected = [0.5 - math.log(0.5) - 1, 4 - math.log(4) - 1]
    torch.testing.assert_close(got, torch.tensor(expected))


def test_forbidden_choices_add_nothing_and_gradients_stay_finite() -> None:
    logits = torch.tensor([[0.3, 1.2, -0.4], [0.1, 0.5, 0.9]], dtype=torch.float64, requires_grad=True)
    allowed = torch.tensor([[True, False, True], [True, True, False]])
    policy = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    reference = torch.zeros(2, 3).double().masked_fill(~allowed, -torch.inf).log_softmax(-1)
    got = exact_kl(policy, reference)
    for row, kept in enumerate(([0, 2], [0, 1])):
        few = logits.detach()[row, kept].log_softmax(-1)
        expected = (few.exp() * (few - math.log(0.5))).sum()
        torch.testing.assert_close(got[row].detach(), expected)
    (gradient,) = torch.autograd.grad(got.sum(), logits)
    assert bool(gradient.isfinite().all())
    assert bool((gradient[~allowed] == 0).all())


def test_what_the_reference_alone_forbids_is_infinitely_far() -> None:
    policy, reference = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log()
    assert float(exact_kl(policy, reference)) == math.inf
    torch.testing.assert_close(exact_kl(reference, policy), torch.tensor(math.log(2)))


def test_a_mismatch_does_not_overflow() -> None:
    policy = torch.tensor([-300.0], requires_grad=True)
    value = k3(policy, torch.zeros(1))
    value.sum().backward()
    assert policy.grad is not None
    assert float(value.detach()) == pytest.approx(math.expm1(20) - 20)  # log-ratios end at 20
    assert bool(policy.grad.isfinite())
