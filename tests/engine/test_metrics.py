"""HR and NDCG against hand-worked numbers, scikit-learn, and brute force over ties."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from lasar_kit.core import metrics


def test_numbers_worked_out_by_hand() -> None:
    values = metrics.per_user(np.array([1, 3, 10, 11, 0]))
    assert values["hr@10"].tolist() == [1, 1, 1, 0, 0]
    assert values["hr@5"].tolist() == [1, 1, 0, 0, 0]
    # 1 / log2(2) = 1, 1 / log2(4) = 0.5, 1 / log2(11) = 0.28906
    assert values["ndcg@10"] == pytest.approx([1, 0.5, 0.289065, 0, 0], abs=1e-6)
    assert values["ndcg@20"][3] == pytest.approx(1 / np.log2(12))


def test_summary_is_the_mean_over_users_with_hit_rates_first() -> None:
    row = metrics.summary(np.array([1, 0, 2, 0]))
    assert list(row) == ["hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20"]
    assert row["hr@5"] == 0.5
    assert row["ndcg@20"] == pytest.approx((1 + 1 / np.log2(3)) / 4)
    # Rank 2 or 3 of three listed: within the first two in one case of two.
    assert metrics.summary(np.array([2, 0]), np.array([2, 1]), cutoffs=(2,)) == pytest.approx(
        {"hr@2": 1 / 4, "ndcg@2": 1 / np.log2(3) / 4}
    )


@given(st.integers(1, 30), st.integers(1, 30))
def test_ndcg_is_that_of_scikit_learn(rank: int, cutoff: int) -> None:
    relevance = np.zeros((1, 30))
    relevance[0, rank - 1] = 1
    scores = -np.arange(30.0)[None]
    ours = metrics.per_user(np.array([rank]), cutoffs=(cutoff,))[f"ndcg@{cutoff}"][0]
    assert ours == pytest.approx(ndcg_score(relevance, scores, k=cutoff))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6))
def test_a_tie_is_the_mean_over_all_orders(rank: int, size: int, cutoff: int) -> None:
    """Brute force: the target is one of `size` items that take the ranks from `rank` on in any order."""
    orders = [order.index(0) for order in permutations(range(size))]
    hits = [float(rank + place <= cutoff) for place in orders]
    gains = [hit / np.log2(rank + place + 1) for hit, place in zip(hits, orders, strict=True)]
    values = metrics.per_user(np.array([rank]), np.array([size]), cutoffs=(cutoff,))
    assert values[f"hr@{cutoff}"][0] == pytest.approx(np.mean(hits))
    assert values[f"ndcg@{cutoff}"][0] == pytest.approx(np.mean(gains))


def test_users_of_different_ties_do_not_touch_each_other() -> None:
    """A miss stays one, whatever is said to share its score."""
    rank, ties = np.array([2, 1, 0, 3, 0]), np.array([1, 4, 1, 2, 3])
    together = metrics.per_user(rank, ties, cutoffs=(2, 4))
    for user, pair in enumerate(zip(rank, ties, strict=True)):
        alone = metrics.per_user(np.array([pair[0]]), np.array([pair[1]]), cutoffs=(2, 4))
        assert {name: values[user] for name, values in together.items()} == pytest.approx(
            {name: values[0] for name, values in alone.items()}
        )
    assert together["hr@2"].tolist() == [1, 0.5, 0, 0, 0]
    assert together["hr@4"].tolist() == [1, 1, 0, 1, 0]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_bounds_and_order_of_cutoffs(ranks: list[int]) -> None:
    values = metrics.per_user(np.array(ranks))
    for small, large in ((5, 10), (10, 20)):
        assert (values[f"hr@{small}"] <= values[f"hr@{large}"]).all()
        assert (values[f"ndcg@{small}"] <= values[f"ndcg@{large}"]).all()
    assert all((values[f"ndcg@{k}"] <= values[f"hr@{k}"]).all() for k in metrics.CUTOFFS)
