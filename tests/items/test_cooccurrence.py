"""Co-occurrence embeddings against counts and PPMI worked out by hand."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.user_cosine import user_cosine
from lasar_kit.core.values import Env
from lasar_plugins.text_encoder.cooccurrence.config import CooccurrenceConfig
from lasar_plugins.text_encoder.cooccurrence.encoder import CooccurrenceEncoder, cooccurrence_counts, ppmi


def encode(items, train: Sequences, **options) -> np.ndarray:
    config = CooccurrenceConfig(use="cooccurrence", **options)
    return CooccurrenceEncoder(config, Env()).encode(items, train)


def test_counts_by_hand() -> None:
    # User 1: (0, 1) and (1, 2) side by side, (0, 2) two apart. User 2: (0, 3) side by side and two apart.
    train = Sequences.of([[0, 1, 2], [0, 3, 3]])
    counts = cooccurrence_counts(train, 4, window=2, decay=0.5).toarray()
    expected = np.array([[0, 1, 0.5, 1.5], [1, 0, 1, 0], [0.5, 1, 0, 0], [1.5, 0, 0, 0]])
    np.testing.assert_array_equal(counts, expected)
    assert cooccurrence_counts(train, 4, window=1, decay=0.5).toarray()[0, 2] == 0


rows_of_items = st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=5)


@given(rows_of_items, st.integers(1, 8), st.sampled_from([0.25, 0.5, 1.0]))
def test_counts_by_brute_force(rows: list[list[int]], window: int, decay: float) -> None:
    expected = np.zeros((6, 6))
    for row in rows:
        for i, a in enumerate(row):
            for j, b in enumerate(row):
                if a != b and 0 < abs(i - j) <= window:
                    expected[a, b] += decay ** (abs(i - j) - 1)
    counts = cooccurrence_counts(Sequences.of(rows), 6, window, decay).toarray()
    np.testing.assert_allclose(counts, expected, atol=1e-12)


def test_ppmi_by_hand() -> None:
    train = Sequences.of([[0, 1], [0, 1], [2, 3], [0, 3]])
    counts = cooccurrence_counts(train, 4, window=1, decay=1.0)
    # Counts: (0,1) 2, (2,3) 1, (0,3) 1, each both ways: total 8, marginals 3, 2, 1, 2.
    found = ppmi(counts, smoothing=1.0).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = log(2 * 8 / (3 * 2))
    expected[2, 3] = expected[3, 2] = log(1 * 8 / (1 * 2))
    expected[0, 3] = expected[3, 0] = log(1 * 8 / (3 * 2))
    np.testing.assert_allclose(found, expected, atol=1e-12)

    smoothed = ppmi(counts, smoothing=0.5).toarray()
    total = sqrt(3) + sqrt(2) + 1 + sqrt(2)
    assert smoothed[0, 1] == pytest.approx(log((2 / 8) / ((3 / 8) * (sqrt(2) / total))))
    assert smoothed[1, 0] == pytest.approx(log((2 / 8) / ((2 / 8) * (sqrt(3) / total))))


def test_negative_information_is_cut() -> None:
    # 0 and 1 meet once but are each mostly in other company.
    train = Sequences.of([[0, 1]] + [[0, 2]] * 9 + [[1, 3]] * 9)
    found = ppmi(cooccurrence_counts(train, 4, window=1, decay=1.0), smoothing=1.0).toarray()
    assert found[0, 1] == 0
    assert found[0, 2] > 0


def test_full_rank_vectors_are_those_of_a_dense_decomposition(catalogue) -> None:
    train = Sequences.of([[0, 1, 2], [0, 1], [2, 3], [0, 3, 1], [3, 4, 2]])
    vectors = encode(catalogue(title=["x"] * 5), train, dimensions=5, smoothing=1.0, window=2, decay=0.5)
    u, s, _ = np.linalg.svd(ppmi(cooccurrence_counts(train, 5, 2, 0.5), 1.0).toarray())
    expected = u * np.sqrt(s)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-4)


def test_items_of_the_same_company_lie_together_and_unseen_ones_are_zero(catalogue) -> None:
    # Two circles, 0-2 and 3-5; item 6 never occurs, item 7 only alone.
    train = Sequences.of([[0, 1, 2], [2, 0, 1], [1, 0], [3, 4, 5], [5, 3, 4], [4, 3], [7]])
    vectors = encode(catalogue(title=["x"] * 8), train, dimensions=2)
    cosine = vectors @ vectors.T
    assert cosine[:3, :3].min() > 0.5 > cosine[:3, 3:6].max()
    assert not vectors[6:].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[:6], axis=1), 1, atol=1e-5)
    assert vectors.dtype == np.float32
    # Dimensions past the rank of the table may point anywhere, also at these items.
    assert not encode(catalogue(title=["x"] * 8), train, dimensions=8)[6:].any()


def test_held_out_items_change_nothing(catalogue) -> None:
    items = catalogue(title=["x"] * 6)
    users = ("u", "v", "w")
    seen = [[0, 1, 2], [2, 1, 3], [0, 3]]
    first = Dataset(users, items, Sequences.of([[*row, 4, 5] for row in seen]))
    second = Dataset(users, items, Sequences.of([[*row, 0, 4] for row in seen]))
    np.testing.assert_array_equal(encode(items, first.train), encode(items, second.train))
    assert not encode(items, first.train)[4:].any()
    # The held-out items would have mattered, had they been looked at.
    assert encode(items, first.sequences)[4:].any()


@pytest.mark.parametrize("rows", [[], [[]], [[0], [1]], [[0, 0, 0]]])
def test_nothing_co_occurs(catalogue, rows: list[list[int]]) -> None:
    vectors = encode(catalogue(title=["x", "y"]), Sequences.of(rows))
    assert vectors.shape == (2, 1)
    assert not vectors.any()


def test_it_repeats(catalogue) -> None:
    train = Sequences.of([[(3 * user + step * step) % 40 for step in range(6)] for user in range(60)])
    items = catalogue(title=["x"] * 40)
    np.testing.assert_array_equal(encode(items, train, dimensions=8), encode(items, train, dimensions=8))


@given(rows_of_items)
def test_cosine_by_brute_force(rows: list[list[int]]) -> None:
    buyers = [{user for user, row in enumerate(rows) if item in row} for item in range(6)]
    expected = [[len(a & b) / sqrt(len(a) * len(b)) if a and b else 0.0 for b in buyers] for a in buyers]
    found = user_cosine(Sequences.of(rows), 6).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_cosine_embeddings_keep_the_cosines_when_no_dimension_is_dropped() -> None:
    """G = U S U' for a positive semi-definite G, so rows of U sqrt(S) have inner products G, and length 1."""
    import polars as pl

    train = Sequences.of([[0, 1, 2], [0, 3], [1, 2], [2, 3, 0], [3]])
    items = pl.DataFrame({"id": list("abcd")})
    vectors = encode(items, train, weighting="cosine", dimensions=4)
    np.testing.assert_allclose(vectors @ vectors.T, user_cosine(train, 4).toarray(), atol=1e-5)
