"""Prompts are chosen by the chance that their candidates differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.samples import Window
from lasar_kit.stages.rl.choice import chance_of_both, drawn, others
from lasar_kit.stages.rl.rollouts import Share


@given(st.floats(0.001, 0.999), st.integers(1, 12))
def test_the_chance_is_a_sum_over_the_numbers_of_hits(p: float, candidates: int) -> None:
    """Of 1 to G - 1 hits among G draws, by Pascal's triangle."""
    ways = [1]
    for _ in range(candidates):
        ways = [a + b for a, b in zip([0, *ways], [*ways, 0], strict=True)]
    each = [ways[k] * p**k * (1 - p) ** (candidates - k) for k in range(candidates + 1)]
    found = chance_of_both(np.log([p]), candidates)
    assert found[0] == pytest.approx(sum(each[1:-1]), abs=1e-9)


def test_what_is_certain_or_impossible_has_no_chance() -> None:
    assert chance_of_both(np.array([0.0, 1e-9, -800.0, -np.inf]), 8).tolist() == [0, 0, 0, 0]


def test_prompts_are_drawn_by_their_chance() -> None:
    """One place of a thousand times the chance is in nearly every draw, alike ones as often as any."""
    chance = np.array([1e-6, 1e-3, 1e-6, 1e-6, 0.0])
    found = np.array([np.isin(np.arange(5), drawn(chance, 2, seed)) for seed in range(400)]).mean(0)
    assert found[1] > 0.98
    assert found[[0, 2, 3]] == pytest.approx(1 / 3, abs=0.08)
    assert found[4] == 0
    assert drawn(chance, 5, 0).tolist() == [0, 1, 2, 3, 4]
    assert drawn(chance, 2, 7).tolist() == drawn(chance, 2, 7).tolist()


@given(st.sets(st.integers(0, 8), min_size=1), st.integers(1, 3), st.integers(0, 5))
def test_others_hang_on_row_number_and_update_alone(rows: set[int], number: int, update: int) -> None:
    windows = [Window(user, 0, 2) for user in range(50)]
    whole = others(windows, Share(update, range(9), 9, number), 3)
    some = others(windows, Share(update, sorted(rows), 9, number), 3)
    assert some == [whole[row] for row in sorted(rows)]
    assert whole != others(windows, Share(update, range(9), 9, number + 1), 3)
    assert whole != others(windows, Share(update + 1, range(9), 9, number), 3)
    assert others(windows, Share(update, [], 9, number), 3) == []
