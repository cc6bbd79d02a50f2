"""How sure a number is, and whether two models differ: bootstraps over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_CELLS = 1 << 22
"""Counts held at once."""


@dataclass(frozen=True)
class Comparison:
    """`difference` is the mean of first - second; `p_value` is two-sided."""

    difference: float
    p_value: float


def paired_bootstrap(
    first: Float[np.ndarray, " U"],
    second: Float[np.ndarray, " U"],
    generator: np.random.Generator,
    resamples: int = 10_000,
) -> Comparison:
    """Test of equal means of a metric that was measured on the same U users, U >= 1.

    Users are drawn with replacement; how far a resample's mean difference lies from the one observed is how
    far an observed one lies from 0 where the means are equal. The p-value is the share of resamples that
    lie at least as far as the observed difference does from 0, it being counted as one of them, so that no
    p-value is 0 (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.4).

    Cost grows with the number of distinct differences, of which rank metrics have few.
    """
    return stratified_bootstrap([(first, second)], generator, resamples)


def stratified_bootstrap(
    pairs: Sequence[tuple[Float[np.ndarray, " U"], Float[np.ndarray, " U"]]],
    generator: np.random.Generator,
    resamples: int = 10_000,
) -> Comparison:
    """`paired_bootstrap` of the mean over data sets, each counting as much: users are drawn within theirs."""
    observed, slack = 0.0, 0.0
    strata = []
    for first, second in pairs:
        assert first.shape == second.shape, "paired by user"
        # How often each distinct difference is drawn says all that a resample of users says.
        values, counts = np.unique(first.astype(np.float64) - second, return_counts=True)
        users = int(counts.sum())
        observed += float(values @ counts) / users / len(pairs)
        # Sums of equal terms in another order may round apart, and must still count as equally far.
        slack = max(slack, 1e-12 * float(np.abs(values).max()))
        strata.append((values, counts, users))
    as_far, done = 0, 0
    chunk = max(1, _CELLS // max(len(values) for values, _, _ in strata))
    while done < resamples:
        size = min(chunk, resamples - done)
        means = np.zeros(size)
        for values, counts, users in strata:
            means += generator.multinomial(users, counts / users, size=size) @ values / users / len(strata)
        as_far += int((np.abs(means - observed) >= abs(observed) - slack).sum())
        done += size
    return Comparison(observed, (1 + as_far) / (1 + resamples))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number: rejecting those under a level errs at all no more often than that
    (Holm, A simple sequentially rejective multiple test procedure, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def against(
    first: Float[np.ndarray, " U"], others: Sequence[Float[np.ndarray, " U"]], resamples: int = 10_000
) -> list[Comparison]:
    """`paired_bootstrap` of the first with each other one, the same each time; p-values are corrected for
    their number (`holm`)."""
    tests = [paired_bootstrap(first, other, np.random.default_rng(0), resamples) for other in others]
    corrected = holm([test.p_value for test in tests])
    return [Comparison(test.difference, p) for test, p in zip(tests, corrected, strict=True)]


def interval(
    values: Float[np.ndarray, " U"],
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2_000,
) -> tuple[float, float] | None:
    """Both ends of the percentile interval of a mean over users; None where all users have one value, of
    which resamples tell nothing.

    Users are drawn with replacement (Efron, An Introduction to the Bootstrap, 1993, chapter 13).
    """
    distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
    if len(distinct) < 2:
        return None
    users, means, chunk = int(counts.sum()), [], max(1, _CELLS // len(distinct))
    for start in range(0, resamples, chunk):
        drawn = generator.multinomial(users, counts / users, size=min(chunk, resamples - start))
        means.append(drawn @ distinct / users)
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
