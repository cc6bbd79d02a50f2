"""SRPO's advantages against the formula by hand and against every choice of K; texts as tokens by a loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.grpo.config import GrpoConfig, SrpoConfig
from lasar_plugins.rl_objective.grpo.objective import Grpo
from lasar_plugins.rl_objective.grpo.srpo import Srpo, pass_term

Make = Callable[..., Rollout]


def srpo(**options: Any) -> Srpo:
    return Srpo(SrpoConfig(use="srpo", **options), Env())


def test_eight_candidates_two_hits_four_tries() -> None:
    """rho = 1 - C(6,4)/C(8,4) = 11/14, sigma = sqrt(33)/14; 1 - rho = 3/14, C(5,3)/C(7,3) = 4/14."""
    hit = torch.tensor([[True, False, False, True, False, False, False, False]])
    found = pass_term(hit, torch.ones_like(hit), 4)
    expected = torch.where(hit, 3 / math.sqrt(33), -1 / math.sqrt(33))
    torch.testing.assert_close(found, expected)


@given(
    group=st.lists(st.sampled_from(["hit", "miss", "none"]), min_size=1, max_size=7),
    k=st.integers(1, 5),
)
def test_the_term_is_the_mean_over_all_choices(group: list[str], k: int) -> None:
    """What a choice of k is worth, standardised, over the choices that a candidate is in."""
    there = [place for place, what in enumerate(group) if what != "none"]
    choices = list(combinations(there, k))
    worth = [float(any(group[place] == "hit" for place in choice)) for choice in choices]
    expected = [0.0] * len(group)
    if worth and min(worth) < max(worth):
        mean = fmean(worth)
        sigma = math.sqrt(fmean((value - mean) ** 2 for value in worth))
        for place in there:
            own = [value for choice, value in zip(choices, worth, strict=True) if place in choice]
            expected[place] = (fmean(own) - mean) / sigma
    hit = torch.tensor([[what == "hit" for what in group]])
    valid = torch.tensor([[what != "none" for what in group]])
    found = pass_term(hit, valid, k)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert float(found.sum()) == pytest.approx(0, abs=1e-5)


def test_the_advantage_is_the_z_score_and_the_term() -> None:
    """Rewards 1, 0.5, 0, 0: a hit of four, two tries: rho = sigma = 1/2; a miss: 1/2 - C(2,1) / C(3,1)."""
    rewards, valid = torch.tensor([[1.0, 0.5, 0.0, 0.0]]), torch.ones(1, 4).bool()
    deviation = math.sqrt((0.625**2 + 0.125**2 + 2 * 0.375**2) / 3)
    z = [value / deviation for value in (0.625, 0.125, -0.375, -0.375)]
    term = [1.0, -1 / 3, -1 / 3, -1 / 3]
    found = srpo(k=2, bonus=0.5, epsilon=0.0)._advantage(rewards, valid)
    assert found[0].tolist() == pytest.approx([a + 0.5 * b for a, b in zip(z, term, strict=True)], abs=1e-6)
    plain = srpo(k=2, bonus=0.5, epsilon=0.0, success=2.0)._advantage(rewards, valid)
    assert plain[0].tolist() == pytest.approx(z, abs=1e-6)


def with_texts(make: Make, texts: int) -> Rollout:
    """Five prompts of four candidates of three tokens, and texts of one to five words."""
    draw = torch.Generator().manual_seed(5)
    written = torch.arange(5) < torch.randint(1, 6, (5, texts, 1), generator=draw)
    logp, old, ref = (-torch.rand(5, texts, 5, generator=draw) for _ in range(3))
    valid = torch.ones(5, 4).bool()
    valid[1, 2] = False
    texts_logp = {"written_logp": logp, "old_written_logp": old, "ref_written_logp": ref}
    masked = {name: values.masked_fill(~written, 0.0) for name, values in texts_logp.items()}
    rewards = torch.tensor(
        [[1.0, 0, 0.5, 0], [0, 1, 1, 0.5], [0.5, 0.5, 0.5, 0.5], [0, 0, 0.7, 0], [1, 1, 0, 0]]
    )
    return make(written=written, valid=valid, rewards=rewards, **masked)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_words_of_its_own_are_tokens_of_a_candidate(rollout: Make, level: str) -> None:
    """Against a loop over prompts, candidates, and the words and levels of each."""
    made, objective = with_texts(rollout, 4), srpo(k=2, beta=0.1, clip=0.15, level=level)
    advantage = objective._advantage(made.rewards, made.valid)
    assert made.written is not None
    assert made.written_logp is not None
    assert made.old_written_logp is not None
    assert made.ref_written_logp is not None
    losses = []
    for b in range(5):
        group = []
        for g in range(4):
            if not made.valid[b, g]:
                continue
            words = made.written[b, g]
            now = [*made.written_logp[b, g][words].tolist(), *made.logp[b, g].tolist()]
            old = [*made.old_written_logp[b, g][words].tolist(), *made.old_logp[b, g].tolist()]
            ref = [*made.ref_written_logp[b, g][words].tolist(), *made.ref_logp[b, g].tolist()]
            kl = [math.exp(q - p) - (q - p) - 1 for p, q in zip(now, ref, strict=True)]
            ratios = [math.exp(p - o) for p, o in zip(now, old, strict=True)]
            if level == "sequence":
                kl, ratios = [sum(kl)], [math.prod(ratios)]
            a = float(advantage[b, g])
            gains = [min(ratio * a, min(max(ratio, 0.85), 1.15) * a) for ratio in ratios]
            group.append(0.1 * fmean(kl) - fmean(gains))
        varied = len(set(made.rewards[b][made.valid[b]].tolist())) > 1
        losses.append(fmean(group) if varied else 0.0)
    loss, report = objective.loss(made)
    assert float(loss) == pytest.approx(fmean(losses), rel=1e-5)
    assert report["mixed_groups"] == pytest.approx(3 / 5)


def test_a_shared_text_is_no_candidates_own(rollout: Make) -> None:
    shared, none = (
        with_texts(rollout, 1),
        rollout(valid=with_texts(rollout, 1).valid, rewards=with_texts(rollout, 1).rewards),
    )
    objective = Grpo(GrpoConfig(use="grpo", beta=0.1), Env())
    assert float(objective.loss(shared)[0]) == float(objective.loss(none)[0])
    assert float(objective.loss(with_texts(rollout, 4))[0]) != float(objective.loss(none)[0])
