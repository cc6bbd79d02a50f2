"""The paired bootstrap against enumeration of all resamples and against the normal distribution."""

from __future__ import annotations

import math
from itertools import combinations, product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.report import bootstrap
from lasar_kit.report.bootstrap import holm, paired_bootstrap, stratified_bootstrap


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "differences",
    [
        [0.5, -0.2, 0.1, 0.3, 0.0],
        [1, 1, 0, 0, -1],
        [1, 0, 0, 0, 0],
        [-0.63, -0.63, 0.39, 0.0, -0.1],
        [0.1, 0.2, -0.3, 0.1, 0.1],
    ],
)
def test_p_value_is_the_share_of_all_resamples(differences: list[float]) -> None:
    values = np.array(differences)
    observed = values.mean()
    means = np.array([np.mean(resample) for resample in product(values, repeat=5)])
    exact = float((np.abs(means - observed) >= abs(observed) - 1e-9).mean())
    count = 200_000
    second = np.array([0.3, 0.1, 0.7, 0.2, 0.4])
    got = paired_bootstrap(second + values, second, draws(), count)
    assert got.difference == pytest.approx(observed)
    assert got.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / count) + 1 / count)


@pytest.mark.parametrize("z", [0.3, -1.0, 1.96, -2.8])
def test_p_value_of_many_users_is_that_of_the_normal(z: float) -> None:
    noise = draws(1).normal(size=400)
    noise = (noise - noise.mean()) / noise.std()
    second = draws(2).normal(size=400)
    got = paired_bootstrap(second + noise + z / math.sqrt(400), second, draws())
    exact = 2 * (1 - NormalDist().cdf(abs(z)))
    assert got.difference == pytest.approx(z / 20)
    assert got.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000) + 0.003)


def test_pairs_are_told_from_two_samples() -> None:
    # Users differ widely, models by little but for every user: only pairing sees it.
    second = draws(3).normal(scale=100, size=200)
    first = second + draws(4).normal(loc=0.2, scale=1, size=200)
    assert paired_bootstrap(first, second, draws()).p_value < 0.05
    assert paired_bootstrap(draws(5).permutation(first), second, draws()).p_value > 0.2


def test_equal_models_have_p_value_one_and_no_p_value_is_zero() -> None:
    hits = draws(6).integers(0, 2, size=50).astype(float)
    assert paired_bootstrap(hits, hits, draws()).p_value == 1
    balanced = np.array([1.0, -1.0, 0.1, -0.1])
    assert paired_bootstrap(balanced, np.zeros(4), draws()).p_value == 1
    far = paired_bootstrap(draws(7).normal(loc=9, size=50), np.zeros(50), draws(), resamples=99)
    assert far.p_value == 1 / 100


def test_draws_repeat_by_seed_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = draws(8).normal(size=(2, 30))
    whole = paired_bootstrap(first, second, draws(9), 1001)
    assert whole == paired_bootstrap(first, second, draws(9), 1001)
    assert paired_bootstrap(first, second, draws(9)) == paired_bootstrap(first, second, draws(9), 10_000)
    monkeypatch.setattr(bootstrap, "_CELLS", 30 * 100)
    assert paired_bootstrap(first, second, draws(9), 1001) == whole
    others = {paired_bootstrap(first, second, draws(seed), 1001).p_value for seed in range(5)}
    assert len(others) > 1


def test_sides_are_treated_alike() -> None:
    first, second = draws(10).normal(size=(2, 100))
    there, back = paired_bootstrap(first, second, draws()), paired_bootstrap(second, first, draws())
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == pytest.approx(back.p_value, abs=0.03)


def test_over_data_sets_users_are_drawn_within_theirs() -> None:
    """Against all resamples of both; the larger data set counts as much as the smaller one."""
    first, second = np.array([0.5, -0.2, 0.1, 0.3]), np.array([1.0, 0.0, 0.0])
    observed = (first.mean() + second.mean()) / 2
    means = np.add.outer(
        [np.mean(one) for one in product(first, repeat=4)],
        [np.mean(one) for one in product(second, repeat=3)],
    )
    exact = float((np.abs(means / 2 - observed) >= abs(observed) - 1e-9).mean())
    zeros = [np.zeros(4), np.zeros(3)]
    got = stratified_bootstrap([(first, zeros[0]), (second, zeros[1])], draws(), 200_000)
    assert got.difference == pytest.approx(observed)
    assert got.p_value == pytest.approx(exact, abs=0.005)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """A hypothesis is rejected where every set of hypotheses that holds it is, each by Bonferroni."""
    places = range(len(p_values))
    expected = [
        max(
            min(1.0, len(chosen) * min(p_values[other] for other in chosen))
            for size in range(1, len(p_values) + 1)
            for chosen in combinations(places, size)
            if place in chosen
        )
        for place in places
    ]
    assert holm(p_values) == pytest.approx(expected)
