"""The sentence of a study, on numbers that are made up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from lasar_kit.report.verdict import Contrast, over_seeds, verdict

NAMES = {
    "none": "no thoughts",
    "pause": "pause positions",
    "noise": "noise thoughts",
    "fixed": "N = 2 for all",
}


def contrast(kind: str, difference: float, p: float, seeds: float | None = 0.01, higher: int = 3) -> Contrast:
    """Of three seeds unless there is no p-value over them; a row of NDCG@10 0.04."""
    count = 3 if seeds is not None else 1
    return Contrast(NAMES[kind], kind, difference, difference / 0.04, p, seeds, min(higher, count), count)


GAIN = [contrast("none", 0.002, 1e-4), contrast("pause", 0.0015, 0.003), contrast("noise", 0.003, 1e-4)]


def test_a_gain_over_all_controls_is_a_yes() -> None:
    assert verdict(GAIN, {}, 1.44) == (
        "Yes: NDCG@10 is 0.0020 (5.0%) above that without thoughts (p < 0.001), and above pause positions "
        "(+0.0015, p = 0.003) and noise thoughts (+0.0030, p < 0.001); a user takes 1.4 times as long as "
        "without thoughts."
    )


def test_no_significance_is_not_shown() -> None:
    found = [contrast("none", 0.0005, 0.43, 0.6), *GAIN[1:]]
    assert verdict(found, {}) == (
        "Not shown: NDCG@10 with thoughts is 0.0005 (1.2%) above that without (p = 0.430)."
    )
    below = verdict([contrast("none", -0.0005, 0.43, 0.6, 1)], {})
    assert below.startswith("Not shown: NDCG@10 with thoughts is 0.0005 (1.2%) below that without")


def test_harm_is_told_as_harm_whatever_the_controls() -> None:
    assert verdict([contrast("none", -0.0024, 1e-5, 0.3, 0), *GAIN[1:]], {}) == (
        "No, it harms: NDCG@10 is 0.0024 (6.0%) lower with thoughts than without (p < 0.001, over seeds p = "
        "0.300)."
    )


def test_a_gain_over_nothing_that_pauses_have_too_is_not_one_of_thinking() -> None:
    as_well = [GAIN[0], contrast("pause", 0.0003, 0.41), GAIN[2]]
    assert verdict(as_well, {}) == (
        "Not by thinking: NDCG@10 is 0.0020 (5.0%) above that without thoughts (p < 0.001), but it is not "
        "shown to be above pause positions (+0.0003, p = 0.410)."
    )
    better = [GAIN[0], contrast("pause", -0.0012, 0.01, 0.02, 0), contrast("noise", 0.0, 1.0, 1.0)]
    assert verdict(better, {}).endswith(
        "but pause positions do better still (by 0.0012, p = 0.010) and it is not shown to be above noise "
        "thoughts (+0.0000, p = 1.000)."
    )


def test_seeds_that_disagree_take_the_gain_away() -> None:
    """Significant over users, and lower in one of three seeds: which users were drawn does not tell."""
    found = [contrast("none", 0.002, 1e-4, 0.3, 2), *GAIN[1:]]
    assert verdict(found, {}) == (
        "Not shown: NDCG@10 with thoughts is 0.0020 (5.0%) above that without (p < 0.001, over seeds p = "
        "0.300, higher in 2 of 3 seeds)."
    )


@pytest.mark.parametrize("which", range(3))
def test_what_seeds_do_not_bear_out_is_likely_at_most(which: int) -> None:
    found = list(GAIN)
    found[which] = contrast(found[which].kind, 0.002, 1e-4, 0.12)
    told = verdict(found, {})
    assert told.startswith("Likely, over users but not over seeds: ")
    assert "over seeds p = 0.120" in told


def test_one_seed_is_one_seed() -> None:
    found = [contrast(one.kind, one.difference, one.p_users, None) for one in GAIN]
    told = verdict(found, {})
    assert told.startswith("On one seed, yes: ")
    assert told.endswith("; another seed may say otherwise.")


def test_a_control_that_is_missing_leaves_a_perhaps() -> None:
    told = verdict([GAIN[0], GAIN[2]], {"pause positions": "spec.yaml:3: no"})
    assert told.startswith("Perhaps: ")
    assert told.endswith("but a control is missing (pause positions).")
    assert verdict([GAIN[0]], {}).endswith("(p < 0.001), but a control is missing.")
    assert verdict(GAIN[1:], {"no thoughts": "no"}).startswith("Not known: ")


def test_a_depth_for_all_that_does_as_well_is_told() -> None:
    as_well = [*GAIN, contrast("fixed", 0.0001, 0.9)]
    assert verdict(as_well, {}).endswith(
        "; choosing depths is not shown to beat N = 2 for all (+0.0001, p = 0.900)."
    )
    better = [*GAIN, contrast("fixed", -0.001, 0.02, 0.04, 0)]
    assert verdict(better, {}).endswith("; N = 2 for all does better still (by 0.0010, p = 0.020).")
    assert verdict([*GAIN, contrast("fixed", 0.001, 0.001)], {}) == verdict(GAIN, {})


NUMBERS = st.floats(-0.01, 0.01)
P = st.floats(1e-4, 1.0)


@given(st.data())
def test_yes_is_only_said_where_every_number_says_it(data: st.DataObject) -> None:
    found = [
        contrast(kind, data.draw(NUMBERS), data.draw(P), data.draw(P), data.draw(st.integers(0, 3)))
        for kind in ("none", "pause", "noise")
    ]
    said = verdict(found, {})
    strong = all(
        one.difference > 0 and one.p_users < 0.05 and (one.p_seeds or 0) < 0.05 and one.higher == 3
        for one in found
    )
    assert said.startswith("Yes") == strong
    if found[0].difference < 0 and found[0].p_users < 0.05:
        assert said.startswith("No, it harms")
    if found[0].p_users >= 0.05:
        assert said.startswith("Not shown")


def test_the_test_over_seeds_is_students() -> None:
    first, second = np.array([0.05, 0.06, 0.055]), np.array([0.049, 0.056, 0.052])
    apart = first - second
    statistic = apart.mean() / (apart.std(ddof=1) / np.sqrt(3))
    assert over_seeds(first, second) == pytest.approx(2 * student.sf(statistic, 2))
    assert over_seeds(first[:1], second[:1]) is None
    assert over_seeds(first, first) == 1.0
