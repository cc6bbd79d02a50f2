"""Popularity and item-KNN against brute force on small data, and against known numbers on Beauty."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core import metrics
from lasar_kit.core.dataset import Sequences
from lasar_kit.model.ranking import target_ranks
from lasar_kit.stages.evaluate.baselines import ItemKnn, Popularity, rank

ITEMS = 8
rows = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=14), min_size=1, max_size=8)


@given(rows, st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=13))
def test_item_knn_is_its_formula(train: list[list[int]], history: list[int]) -> None:
    buyers = [{user for user, row in enumerate(train) if item in row} for item in range(ITEMS)]

    def cosine(a: int, b: int) -> float:
        if a == b or not buyers[a] or not buyers[b]:
            return 0.0
        return len(buyers[a] & buyers[b]) / (len(buyers[a]) * len(buyers[b])) ** 0.5

    recent = history[::-1][:10]
    expected = [
        sum(0.7**age * cosine(item, other) for age, item in enumerate(recent)) for other in range(ITEMS)
    ]
    scores = ItemKnn(Sequences.of(train), ITEMS).score([np.array(history)])
    assert scores[0] == pytest.approx(expected, abs=1e-12)


@given(rows, st.booleans(), st.integers(1, ITEMS + 2))
def test_ranking_sorts_by_score_then_item(train: list[list[int]], exclude: bool, width: int) -> None:
    histories = [np.array(row) for row in train]
    baseline = Popularity(Sequences.of(train), ITEMS)
    counts = np.bincount(np.concatenate(histories), minlength=ITEMS)
    ranked = rank(baseline, histories, width, exclude, rows=3)
    for history, row in zip(histories, ranked, strict=True):
        allowed = [i for i in range(ITEMS) if counts[i] > 0 and not (exclude and i in history)]
        expected = sorted(allowed, key=lambda item: (-counts[item], item))[:width]
        assert row.tolist() == expected + [-1] * (width - len(expected))


@pytest.mark.parametrize(
    ("exclude", "knn", "popularity"), [(True, (0.0650, 0.0395), 0.0115), (False, (0.0582, 0.0332), 0.0114)]
)
def test_beauty_gives_the_known_numbers(
    real_data: Path, exclude: bool, knn: tuple[float, float], popularity: float
) -> None:
    """HR@10 and NDCG@10 as the data's notes have them; ties of equal scores leave the 4th digit open."""
    stored = json.loads((real_data / "beauty" / "Beauty.inter.json").read_text())
    sequences = Sequences.of([stored[str(user)] for user in range(len(stored))])
    histories = [sequences[user][:-1] for user in range(len(sequences))]
    target = np.array([sequences[user][-1] for user in range(len(sequences))])
    values = []
    for baseline in (ItemKnn, Popularity):
        fitted = baseline(sequences.first(sequences.lengths - 2), 12_101)
        values.append(metrics.summary(*target_ranks(rank(fitted, histories, 20, exclude), target)))
    assert (values[0]["hr@10"], values[0]["ndcg@10"]) == pytest.approx(knn, abs=4e-4)
    assert values[1]["hr@10"] == pytest.approx(popularity, abs=2e-4)
