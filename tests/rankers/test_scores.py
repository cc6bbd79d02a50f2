"""Each ranker's scores against its formula, written out item by item on drawn data."""

from collections import Counter
from itertools import combinations, permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import ITEM_COLUMNS, Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError

CATALOGUE = Catalogue.discover()
ITEMS = 8
TABLE = pl.DataFrame({name: [f"{name} {item}" for item in range(ITEMS)] for name in ITEM_COLUMNS})
item = st.integers(0, ITEMS - 1)
rows = st.lists(st.lists(item, min_size=1, max_size=14), min_size=1, max_size=8)
history = st.lists(item, max_size=13)


def fitted(name: str, train: list[list[int]], **options: Any) -> Any:
    config = CATALOGUE.config_class("ranker", name).model_validate({"use": name, **options})
    ranker = CATALOGUE.build("ranker", config, Env())
    ranker.fit(Sequences.of(train), TABLE)
    return ranker


def scores(name: str, train: list[list[int]], asked: list[int], **options: Any) -> list[float]:
    found = fitted(name, train, **options).score([np.array(asked, dtype=np.int64)])
    assert found.shape == (1, ITEMS)
    return found[0].tolist()  # type: ignore[no-any-return]


def listed(values: list[float]) -> list[float]:
    """A score of 0 is not listed."""
    return [value if value > 0 else -np.inf for value in values]


@given(rows, history)
def test_popularity_counts(train: list[list[int]], asked: list[int]) -> None:
    count = Counter(one for row in train for one in row)
    assert scores("popularity", train, asked) == listed([float(count[one]) for one in range(ITEMS)])


@given(rows, history, st.sampled_from([0.7, 0.5, 1.0]), st.sampled_from([10, 3, 0]))
def test_item_knn_is_a_sum_of_cosines(
    train: list[list[int]], asked: list[int], decay: float, recent: int
) -> None:
    buyers = [{user for user, row in enumerate(train) if one in row} for one in range(ITEMS)]

    def cosine(a: int, b: int) -> float:
        if a == b or not buyers[a] or not buyers[b]:
            return 0.0
        return len(buyers[a] & buyers[b]) / (len(buyers[a]) * len(buyers[b])) ** 0.5

    latest = asked[::-1][: recent or len(asked)]
    expected = [sum(decay**age * cosine(one, j) for age, one in enumerate(latest)) for j in range(ITEMS)]
    found = scores("item_knn", train, asked, decay=decay, recent=recent)
    assert found == pytest.approx(listed(expected), abs=1e-12)


@given(
    rows,
    history,
    st.sampled_from([(0.85, 0, 0.3, 1.0), (0.5, 2, 0.0, 0.5), (1.0, 1, 1.0, 0.0)]),
    st.sampled_from([(0.7, 10), (0.5, 0), (1.0, 2)]),
)
def test_directed_item_knn_counts_what_came_after(
    train: list[list[int]],
    asked: list[int],
    pairs: tuple[float, int, float, float],
    ages: tuple[float, int],
) -> None:
    (near, window, back, damping), (decay, recent) = pairs, ages
    count = np.zeros((ITEMS, ITEMS))
    for row in train:
        for first, earlier in enumerate(row):
            for second in range(first + 1, len(row)):
                if row[second] != earlier and (not window or second - first <= window):
                    count[earlier, row[second]] += near ** (second - first - 1)
                    count[row[second], earlier] += back * near ** (second - first - 1)
    times = Counter(one for row in train for one in row)
    latest = asked[::-1][: recent or len(asked)]
    expected = [
        sum(decay**age * count[one, j] / (times[one] or 1) ** damping for age, one in enumerate(latest))
        for j in range(ITEMS)
    ]
    options = {"distance_decay": near, "window": window, "backward": back, "damping": damping}
    found = scores("item_knn_directed", train, asked, decay=decay, recent=recent, **options)
    assert found == pytest.approx(listed(expected), abs=1e-12)


@given(rows, history, st.sampled_from([(1.0, 5.0, 0.3), (0.5, 0.0, 0.5), (2.0, 1.0, 0.0)]))
def test_swing_counts_pairs_of_users(
    train: list[list[int]], asked: list[int], options: tuple[float, float, float]
) -> None:
    """Pair by pair; the sets hold a repeat once."""
    smoothing, more, power = options
    alike = np.zeros((ITEMS, ITEMS))
    for one, other in combinations([set(row) for row in train], 2):
        weight = ((len(one) + more) * (len(other) + more)) ** -power / (smoothing + len(one & other))
        for a, b in permutations(one & other, 2):
            alike[a, b] += weight
    expected = [
        sum(0.5**age * alike[one, j] for age, one in enumerate(asked[::-1][:3])) for j in range(ITEMS)
    ]
    found = scores(
        "swing",
        train,
        asked,
        smoothing=smoothing,
        user_smoothing=more,
        user_power=power,
        decay=0.5,
        recent=3,
    )
    assert found == pytest.approx(listed(expected), abs=1e-12)


def test_swing_compares_users_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven users, three at a time, are as all at once."""
    train = [[0, 1, 2], [1, 2], [0, 1, 3], [2, 1, 4], [5, 6], [0, 1, 2, 5], [5, 6, 1]]
    whole = [scores("swing", train, [item]) for item in range(ITEMS)]
    monkeypatch.setattr("lasar_plugins.ranker.swing.ranker.USERS", 3)
    for item in range(ITEMS):
        assert scores("swing", train, [item]) == pytest.approx(whole[item])


@given(rows, history, st.sampled_from([0.5, 10.0, 250.0]))
def test_ease_is_the_best_reconstruction_with_a_zero_diagonal(
    train: list[list[int]], asked: list[int], l2: float
) -> None:
    """Column by column, ridge regression of an item on all others: Steck's closed form does all at once."""
    seen = np.array([[float(one in row) for one in range(ITEMS)] for row in train])
    weights = np.zeros((ITEMS, ITEMS))
    for j in range(ITEMS):
        others = [one for one in range(ITEMS) if one != j]
        matrix = seen[:, others]
        weights[others, j] = np.linalg.solve(
            matrix.T @ matrix + l2 * np.eye(ITEMS - 1), matrix.T @ seen[:, j]
        )
    expected = sum((weights[one] for one in set(asked)), np.zeros(ITEMS))
    assert scores("ease", train, asked, l2=l2) == pytest.approx(expected.tolist(), abs=1e-9)


def test_ease_may_weigh_the_latest_most() -> None:
    train = [[0, 1, 2], [1, 2, 3], [0, 3]]
    one, two = (np.array(scores("ease", train, [item], l2=1.0)) for item in (0, 3))
    found = scores("ease", train, [5, 0, 3], l2=1.0, decay=0.5, recent=2)
    assert found == pytest.approx((0.5 * one + two).tolist())


def test_ease_refuses_a_catalogue_beyond_its_size() -> None:
    with pytest.raises(UserError) as caught:
        fitted("ease", [[0, 1]], max_items=7)
    assert caught.value.lines == (
        "ranker ease: 8 items are dense matrices of 0.0 GB, and max_items is 7; "
        "raise it where memory allows, or leave ease out",
    )


def test_random_prefers_nothing() -> None:
    ranker = fitted("random", [[0, 1]])
    assert ranker.draws_ties
    assert ranker.score([np.array([3]), np.array([], dtype=int)]).tolist() == [[0.0] * ITEMS] * 2
