"""Intervals of means over users, against what theory says of them."""

import numpy as np
import pytest
from scipy import stats

from lasar_kit.report.bootstrap import interval


@pytest.mark.parametrize(("hits", "users"), [(300, 1000), (50, 400)])
def test_a_share_has_nearly_its_binomial_interval(hits: int, users: int) -> None:
    """A resample's number of hits is binomial, so both ends are its quantiles."""
    values = np.zeros(users)
    values[:hits] = 1
    found = interval(values, np.random.default_rng(0), resamples=20_000)
    expected = stats.binom.ppf([0.025, 0.975], users, hits / users) / users
    assert found == pytest.approx(tuple(expected), abs=1.5 / users)


def test_it_narrows_with_the_root_of_the_users_and_widens_with_the_level() -> None:
    values = np.random.default_rng(1).random(900).round(2)
    width = np.diff(interval(values, np.random.default_rng(0)) or (0, 0)).item()
    assert np.diff(
        interval(np.repeat(values, 4), np.random.default_rng(0)) or (0, 0)
    ).item() == pytest.approx(width / 2, rel=0.1)
    assert width == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.05)
    assert np.diff(interval(values, np.random.default_rng(0), level=0.5) or (0, 0)).item() < width / 2


def test_one_value_has_none() -> None:
    """Of no hit at all, resamples say that there can be none: nothing is said instead."""
    assert interval(np.zeros(30), np.random.default_rng(0)) is None
