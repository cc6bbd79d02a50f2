"""The GRPO loss against a loop in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.interfaces import RLObjective
from lasar_kit.core.kl import exact_kl
from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.grpo.config import GrpoConfig
from lasar_plugins.rl_objective.grpo.objective import Grpo

Make = Callable[..., Rollout]


def grpo(**options: Any) -> Grpo:
    return Grpo(GrpoConfig(use="grpo", **options), Env())


def by_loop(rollout: Rollout, config: GrpoConfig) -> tuple[float, dict[str, float]]:
    """Loss, and the report's ratio, clipped and kl, by a loop over groups, candidates and tokens."""
    fields_ = (rollout.logp, rollout.old_logp, rollout.ref_logp, rollout.rewards)
    logp, old, ref, rewards = (tensor.detach().double().numpy() for tensor in fields_)
    exact = None if rollout.ref_kl is None else rollout.ref_kl.detach().double().numpy()
    losses, seen, constant = [], [], 0
    for b in range(len(rewards)):
        there = [g for g in range(rewards.shape[1]) if bool(rollout.valid[b, g])]
        reward = [rewards[b, g] for g in there]
        same = len(set(reward)) < 2
        constant += same
        total = 0.0
        for g in there:
            plain = same or config.scale == "none"
            spread = 1.0 if plain else np.std(reward, ddof=config.std_ddof) + config.epsilon
            advantage = 0.0 if same else (rewards[b, g] - np.mean(reward)) / spread
            base = old if config.ratio == "old" else ref
            ratios = np.exp(logp[b, g] - base[b, g])
            if config.level == "sequence":
                ratios = np.array([np.prod(ratios)])
            gain, cut = [], []
            for ratio in ratios:
                above = config.clip if config.clip_high is None else config.clip_high
                bounded = min(max(ratio, 1 - config.clip), 1 + above)
                gain.append(min(ratio * advantage, bounded * advantage))
                cut.append((advantage > 0 and ratio > bounded) or (advantage < 0 and ratio < bounded))
            x = ref[b, g] - logp[b, g]
            tokens = np.exp(x) - x - 1 if config.kl == "k3" or exact is None else exact[b, g]
            kl = tokens.sum() if config.level == "sequence" else tokens.mean()
            total += config.beta * kl - np.mean(gain)
            seen.append((np.mean(ratios), np.mean(cut), kl))
        skipped = same and config.constant_groups == "skip"
        if there and not (skipped and config.mean_over == "varied"):
            losses.append(0.0 if skipped else total / len(there))
    ratio, clipped, kl = np.mean(seen, axis=0) if seen else np.zeros(3)
    report = {"ratio": ratio, "clipped": clipped, "zero_variance": constant / len(rewards)}
    if config.beta or config.ratio == "ref":
        report["kl"] = kl
    return float(np.mean(losses)) if losses else 0.0, report


OPTIONS = {
    "ratio": st.sampled_from(["old", "ref"]),
    "level": st.sampled_from(["token", "sequence"]),
    "kl": st.sampled_from(["k3", "exact"]),
    "groups": st.sampled_from([("skip", "prompts"), ("skip", "varied"), ("keep", "prompts")]),
    "std_ddof": st.integers(0, 1),
    "epsilon": st.sampled_from([0.0, 1e-4, 0.1]),
    "clip": st.sampled_from([0.05, 0.2]),
    "clip_high": st.sampled_from([None, 0.02, 0.6]),
    "scale": st.sampled_from(["group_std", "none"]),
    "beta": st.sampled_from([0.0, 1e-3, 0.5]),
}


@settings(max_examples=200)
@given(seed=st.integers(0, 10_000), options=st.fixed_dictionaries(OPTIONS), group=st.integers(1, 5))
def test_loss_and_report_are_those_of_a_loop(
    rollout: Make, seed: int, options: dict[str, Any], group: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.randint(0, 3, (5, group), generator=generator) * 0.3  # many equal
    valid = torch.rand(5, group, generator=generator) < 0.8
    kl = torch.rand(5, group, 3, generator=generator)
    made = rollout(seed, group=group, rewards=rewards, valid=valid, ref_kl=kl)
    constant, over = options.pop("groups")
    options |= {"constant_groups": constant, "mean_over": over}
    if options["scale"] == "none":
        options = {name: value for name, value in options.items() if name not in ("std_ddof", "epsilon")}
    objective = grpo(**options)
    loss, report = objective.loss(made)
    expected, expected_report = by_loop(made, objective.config)
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for name, value in expected_report.items():
        assert report[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    assert ("kl" in report) == ("kl" in expected_report)
    if not objective.reads_reference:
        nothing = torch.full_like(made.ref_logp, torch.nan)
        assert torch.equal(objective.loss(replace(made, ref_logp=nothing, ref_kl=None))[0], loss)


def test_report_of_advantages(rollout: Make) -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0, 9.0], [5.0, 5.0, 5.0, 5.0]])
    valid = torch.tensor([[True, True, True, False], [True, True, True, True]])
    made = rollout(rows=2, rewards=rewards, valid=valid)
    report = grpo(epsilon=0.0).loss(made)[1]
    # Mean 3 and variance 7, so advantages -2, -1 and 3 over the root of 7; and four zeros.
    assert report["advantage_min"] == pytest.approx(-2 / math.sqrt(7))
    assert report["advantage_max"] == pytest.approx(3 / math.sqrt(7))
    assert report["advantage_rms"] == pytest.approx(math.sqrt(2 / 7))
    assert report["zero_variance"] == 1 / 2
    assert all(type(value) is float for value in report.values())


def test_a_higher_bound_above_and_unscaled_advantages(rollout: Make) -> None:
    """One group of two: rewards 1 and 0, ratios 1.25 and 0.5 of single tokens."""
    ratios = torch.tensor([[[1.25], [0.5]]])
    made = replace(
        rollout(rows=1, group=2),
        logp=ratios.log(), old_logp=torch.zeros(1, 2, 1), ref_logp=ratios.log(),
        rewards=torch.tensor([[1.0, 0.0]]), valid=torch.ones(1, 2, dtype=torch.bool),
    )  # fmt: skip
    # Advantages are 1/2 and -1/2. Gains: 1.2 / 2 clipped, or 1.25 / 2 under a bound of 1.28; and -0.8 / 2.
    assert float(grpo(scale="none").loss(made)[0]) == pytest.approx(-(0.6 - 0.4) / 2)
    assert float(grpo(scale="none", clip_high=0.28).loss(made)[0]) == pytest.approx(-(0.625 - 0.4) / 2)
    # Divided by the sample deviation, the root of a half.
    assert float(grpo(epsilon=0.0).loss(made)[0]) == pytest.approx(-(0.6 - 0.4) / 2 * math.sqrt(2))


@pytest.mark.parametrize("option", [{"std_ddof": 0}, {"epsilon": 0.1}])
def test_what_scale_none_does_not_read_is_refused(option: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="has no effect with scale none"):
        grpo(scale="none", **option)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.5, 20), shift=st.floats(-5, 5))
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_affine_rewards_change_nothing(
    rollout: Make, level: str, seed: int, scale: float, shift: float
) -> None:
    made = rollout(seed)
    moved = replace(made, rewards=scale * made.rewards + shift)
    objective = grpo(level=level, epsilon=0.0)
    torch.testing.assert_close(objective.loss(made)[0], objective.loss(moved)[0], atol=1e-4, rtol=1e-4)
    turned = objective.loss(replace(made, rewards=-made.rewards))[0]
    assert abs(float(turned - objective.loss(made)[0])) > 1e-5, "the sign of rewards matters"


def test_skipped_groups_leave_no_trace_and_kept_ones_their_kl(rollout: Make) -> None:
    made = rollout()
    rewards = made.rewards.clone()
    rewards[[1, 3]] = 0.7
    made = replace(made, rewards=rewards)
    rest = {
        field.name: getattr(made, field.name)[[0, 2, 4]]
        for field in fields(made)
        if field.name != "world_reward" and getattr(made, field.name) is not None
    }
    without = replace(made, **rest)
    alone = grpo().loss(without)[0]
    torch.testing.assert_close(grpo(mean_over="varied").loss(made)[0], alone)
    torch.testing.assert_close(grpo().loss(made)[0], alone * 3 / 5)  # two of five weigh nothing
    kept, skipped = (grpo(constant_groups=rule, beta=1.0) for rule in ("keep", "skip"))
    alone = replace(made, rewards=torch.zeros(5, 4))
    assert float(skipped.loss(alone)[0]) == 0
    loss, report = kept.loss(alone)
    assert float(loss) == pytest.approx(report["kl"])
    assert report["zero_variance"] == 1


def test_both_kls_of_a_sequence_have_its_divergence_as_mean(rollout: Make) -> None:
    # Two levels of two tokens; the second level's distribution hangs on the first token.
    first, first_ref = torch.tensor([0.7, 0.3]).log(), torch.tensor([0.4, 0.6]).log()
    second, second_ref = (
        torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log(),
        torch.tensor([[0.5, 0.5], [0.6, 0.4]]).log(),
    )
    joint, joint_ref = first[:, None] + second, first_ref[:, None] + second_ref
    divergence = float(exact_kl(joint.flatten(), joint_ref.flatten()))
    for kind in ("k3", "exact"):
        mean = 0.0
        for i in range(2):
            for j in range(2):
                made = rollout(
                    rows=1,
                    group=1,
                    logp=torch.tensor([[[first[i], second[i, j]]]]),
                    ref_logp=torch.tensor([[[first_ref[i], second_ref[i, j]]]]),
                    old_logp=torch.zeros(1, 1, 2),
                    ref_kl=torch.tensor([[[exact_kl(first, first_ref), exact_kl(second[i], second_ref[i])]]]),
                )
                report = grpo(level="sequence", kl=kind).loss(made)[1]
                mean += float(joint[i, j].exp()) * report["kl"]
        assert mean == pytest.approx(divergence, rel=1e-5)


def test_loss_is_pure(rollout: Make) -> None:
    made = rollout()
    before = {
        field.name: value.clone()
        for field in fields(made)
        if (value := getattr(made, field.name)) is not None
    }
    objective = grpo()
    state = dict(vars(objective))
    first = objective.loss(made)
    objective.observe(made)
    second = objective.loss(made)
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    assert vars(objective) == state
    for name, value in before.items():
        assert torch.equal(getattr(made, name), value)


def test_low_precision_is_computed_in_float32(rollout: Make) -> None:
    made = rollout()
    names = ("logp", "old_logp", "ref_logp")
    low = {name: getattr(made, name).bfloat16() for name in names}
    high = {name: value.float() for name, value in low.items()}
    loss = grpo().loss(replace(made, **low))[0]
    assert loss.dtype == torch.float32
    assert torch.equal(loss, grpo().loss(replace(made, **high))[0])


def test_the_catalogue_builds_it() -> None:
    catalogue = Catalogue.discover()
    config = catalogue.config_class("rl_objective", "grpo")(use="grpo")
    assert isinstance(catalogue.build("rl_objective", config, Env()), RLObjective)
    assert (GrpoConfig(use="grpo").clip, GrpoConfig(use="grpo").beta) == (0.2, 1e-3)
