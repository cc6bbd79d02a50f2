"""The generated shop: determinism, text, and the structure planted in its sequences."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset
from lasar_kit.core.interfaces import DataSource
from lasar_kit.core.values import Env
from lasar_plugins.dataset.demo.config import DemoConfig
from lasar_plugins.dataset.demo.shop import DEPARTMENTS, STEPS
from lasar_plugins.dataset.demo.source import DemoSource

PINNED_ITEM = (
    "item-00000",
    "Driftland Rice Bran Makeup Remover",
    "Driftland",
    "Skin Care, Makeup Remover",
    "Rice Bran makeup remover by Driftland, step 1 of the skin care range.",
    "22.36",
)
PINNED_HISTORY = [321, 322, 117, 298, 83, 179, 303]

Scorer = Callable[[np.ndarray], np.ndarray]


def load(**given: object) -> Dataset:
    return DemoSource(DemoConfig.model_validate({"use": "demo"} | given), Env()).load()


@cache
def default() -> Dataset:
    return load()


def step(description: str) -> int:
    """The step of the routine that an item's description names, from 1."""
    found = re.search(r"(?:step|volume) (\d+)", description)
    assert found is not None, description
    return int(found[1])


def hit_rate(data: Dataset, score: Scorer) -> float:
    """HR@10 of the last item over the whole catalogue, history not excluded, ties by item."""
    hits = 0
    for user in range(len(data.users)):
        *history, target = data.sequences[user]
        ranked = np.argsort(-score(np.array(history)), kind="stable")
        hits += int(target in ranked[:10])
    return hits / len(data.users)


def popularity(data: Dataset) -> Scorer:
    counts = np.bincount(data.train.items, minlength=len(data.items)).astype(float)
    return lambda history: counts


def item_knn(data: Dataset) -> Scorer:
    """Cosine over the last 10 items with weight 0.7^age, fitted on the training part."""
    train = data.train
    seen = np.zeros((len(train), len(data.items)))
    for user in range(len(train)):
        seen[user, train[user]] = 1
    cosine = seen.T @ seen
    norm = np.sqrt(np.diag(cosine)) + 1e-9
    cosine /= norm * norm[:, None]
    np.fill_diagonal(cosine, 0)
    return lambda history: 0.7 ** np.arange(len(history[-10:])) @ cosine[history[::-1][:10]]


def transitions(data: Dataset) -> np.ndarray:
    """How often item b came right after item a in the training part."""
    counts = np.zeros((len(data.items), len(data.items)))
    for user in range(len(data.users)):
        row = data.train[user]
        np.add.at(counts, (row[:-1], row[1:]), 1)
    return counts


def markov(data: Dataset) -> Scorer:
    counts, frequent = transitions(data), popularity(data)
    return lambda history: counts[history[-1]] + 1e-6 * frequent(history)


def oracle(data: Dataset) -> Scorer:
    """Knows the rule, and reads department, brand and step off the items' text."""
    department = np.array([text.split(", ")[0] for text in data.items["categories"]])
    brand = data.items["brand"].to_numpy()
    steps = np.array([step(text) for text in data.items["description"]])
    frequent = popularity(data)

    def score(history: np.ndarray) -> np.ndarray:
        last, before = history[-1], history[-2]
        following = (department == department[last]) & (steps == steps[last] + 1)
        return following * (1.0 + (brand == brand[before])) + 1e-6 * frequent(history)

    return score


def test_interface_and_size() -> None:
    source = DemoSource(DemoConfig(), Env())
    assert isinstance(source, DataSource)
    assert list(source.files()) == []
    data = default()
    assert (len(data.users), len(data.items)) == (2000, 500)
    assert tuple(data.items.columns) == ITEM_COLUMNS
    assert data.sequences.lengths.min() == 5
    assert data.sequences.lengths.mean() == pytest.approx(10, abs=0.5)


def test_the_same_options_give_the_same_data() -> None:
    first, second = load(users=40, seed=3), load(users=40, seed=3)
    assert first.items.equals(second.items)
    assert first.sequences.items.tolist() == second.sequences.items.tolist()
    other = load(users=40, seed=4)
    assert not first.items.equals(other.items)
    assert first.sequences.items.tolist() != other.sequences.items.tolist()


def test_more_customers_leave_the_others_as_they_were() -> None:
    few, many = load(users=20), load(users=60)
    assert many.sequences.items[: len(few.sequences.items)].tolist() == few.sequences.items.tolist()
    assert many.users[:20] == few.users


def test_the_default_is_pinned() -> None:
    """Data must not drift between versions of Python or of the kit: results would no longer compare."""
    assert default().items.drop("features").row(0) == PINNED_ITEM
    assert default().sequences[0].tolist() == PINNED_HISTORY


@settings(max_examples=15, deadline=None)
@given(st.integers(60, 1200), st.integers(0, 5))
def test_every_item_reads_like_a_shop_item(items: int, seed: int) -> None:
    table = load(users=1, items=items, seed=seed).items
    assert len(table) == items
    assert table["title"].n_unique() == table["id"].n_unique() == items
    for _, title, brand, categories, description, price, _ in table.iter_rows():
        assert brand.split()[-1] in title
        assert brand in description
        assert categories.split(", ")[0] in {department.name for department in DEPARTMENTS}
        assert 1 <= step(description) <= STEPS
        assert re.fullmatch(r"\d+\.\d\d", price)
        assert float(price) > 1


def test_the_largest_shop() -> None:
    assert load(users=3, items=10_000).items["title"].n_unique() == 10_000


def test_without_chance_the_rule_is_exact() -> None:
    """Steps follow each other, brands alternate, a series stays with its author."""
    data = load(users=300, noise=0, switch=0, curiosity=0, items=480)
    text = list(zip(data.items["categories"], data.items["brand"], data.items["description"], strict=True))
    compared = 0
    for user in range(len(data.users)):
        row = [
            (c.split(", ")[0], brand, step(d))
            for c, brand, d in (text[item] for item in data.sequences[user])
        ]
        for n, (department, brand, place) in enumerate(row[1:], start=1):
            if row[n - 1][2] == STEPS:
                assert department != row[n - 1][0]
                continue
            assert (department, place) == (row[n - 1][0], row[n - 1][2] + 1)
            assert (brand == row[n - 1][1]) == (department == "Books")
            if n > 1 and row[n - 2][0] == department:
                assert brand == row[n - 2][1]
                compared += 1
    assert compared > 500


def test_popularity_is_skewed() -> None:
    counts = np.sort(np.bincount(default().sequences.items, minlength=500))[::-1]
    assert counts[:50].sum() > 0.25 * counts.sum()  # uniform: 0.10
    assert counts[-50:].sum() < 0.04 * counts.sum()
    assert counts[-1] > 0


def test_order_carries_information_that_cooccurrence_lacks() -> None:
    """Of the pairs that follow each other often, almost all do so in one direction."""
    counts = transitions(default())
    often = counts >= 8
    assert often.sum() > 200
    assert (counts.T[often] <= counts[often] / 4).mean() > 0.95


def test_what_simple_methods_reach() -> None:
    data = default()
    rate = {
        method.__name__: hit_rate(data, method(data)) for method in (popularity, item_knn, markov, oracle)
    }
    assert 0.03 < rate["popularity"] < 0.10
    assert rate["item_knn"] > 3 * rate["popularity"]
    assert rate["markov"] > 1.25 * rate["item_knn"]
    assert rate["markov"] > 6 * rate["popularity"]
    assert rate["oracle"] > 1.1 * rate["markov"]
