"""Places of targets, against those in sorted lists; and the exact mean over all orders of a tie."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core import metrics
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT
from lasar_kit.core.places import places
from lasar_kit.data.held_out import HeldOut
from lasar_kit.errors import UserError
from lasar_kit.stages.evaluate.beside import ask
from lasar_kit.stages.evaluate.placed import summary

score = st.sampled_from([0.0, 1.0, 2.5, -3.0, -np.inf])
tables = st.lists(st.lists(score, min_size=5, max_size=5), min_size=1, max_size=4)


class Fixed:
    """Gives scores as they are."""

    def __init__(self, scores: object, draws_ties: bool = False) -> None:
        self.scores, self.draws_ties = np.array(scores, dtype=float), draws_ties
        self.asked = 0

    def fit(self, train: object, items: object) -> None:
        pass

    def score(self, histories: list[np.ndarray]) -> np.ndarray:
        self.asked += len(histories)
        return self.scores[self.asked - len(histories) : self.asked]


def held_out(histories: list[list[int]], target: list[int]) -> HeldOut:
    rows = [np.array(history, dtype=np.int64) for history in histories]
    return HeldOut(np.arange(len(rows)), rows, np.array(target))


def best_first(scores: list[float], without: list[int]) -> list[int]:
    """The whole list, equal scores in the order of the table."""
    items = [item for item in range(len(scores)) if scores[item] > -np.inf and item not in without]
    return sorted(items, key=lambda item: (-scores[item], item))


@given(tables, st.data())
def test_places_are_those_of_the_sorted_lists(scores: list[list[float]], data: st.DataObject) -> None:
    users = len(scores)
    histories = data.draw(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=users, max_size=users))
    target = data.draw(st.lists(st.integers(0, 4), min_size=users, max_size=users))
    ranker = Fixed(scores)
    found = ask(ranker, "fixed", held_out(histories, target), 5)
    assert ranker.asked == users  # once for both protocols
    assert list(found) == [HISTORY_IN, HISTORY_OUT]
    for protocol, placed in found.items():
        for user in range(users):
            row = best_first(scores[user], histories[user] if protocol == HISTORY_OUT else [])
            assert placed.rank[user] == (row.index(target[user]) + 1 if target[user] in row else 0)
            assert (placed.listed[user], placed.ties[user]) == (len(row), 1)


@given(st.lists(st.sampled_from([0.0, 1.0, -np.inf]), min_size=5, max_size=5), st.integers(0, 4))
def test_drawn_ties_are_the_mean_over_all_orders(scores: list[float], target: int) -> None:
    found, _ = places(np.array([scores]), np.array([target]), [np.array([])], draws_ties=True)
    means = metrics.summary(found.rank, found.ties, cutoffs=(1, 2, 3))
    gains = []
    for order in permutations(range(5)):
        row = sorted((item for item in order if scores[item] > -np.inf), key=lambda item: -scores[item])
        place = row.index(target) + 1 if target in row else 0
        gains.append(metrics.summary(np.array([place]), cutoffs=(1, 2, 3)))
    for name, value in means.items():
        assert value == pytest.approx(np.mean([gain[name] for gain in gains])), name


def test_chance_is_known_exactly() -> None:
    """K of 40 items; behind a history of 4, of the 36 left, and nothing where the target is one of the 4."""
    histories = [[0, 1, 2, 3, 3], []]
    found = ask(Fixed(np.zeros((2, 40)), draws_ties=True), "random", held_out(histories, [9, 9]), 40)
    assert metrics.per_user(found[HISTORY_IN].rank, found[HISTORY_IN].ties)["hr@10"].tolist() == [0.25] * 2
    out = found[HISTORY_OUT]
    values = metrics.per_user(out.rank, out.ties)
    assert values["hr@10"].tolist() == [10 / 36, 10 / 40]
    discounts = 1 / np.log2(np.arange(2, 12))
    assert values["ndcg@10"] == pytest.approx([discounts.sum() / 36, discounts.sum() / 40])
    own = ask(Fixed(np.zeros((1, 40)), draws_ties=True), "random", held_out([[0, 9]], [9]), 40)
    assert summary(own[HISTORY_OUT])["hr@20"] == 0
    assert summary(own[HISTORY_IN])["hr@20"] == 0.5


def test_a_catalogue_smaller_than_the_list_is_found_whole() -> None:
    placed = ask(Fixed(np.zeros((1, 4)), draws_ties=True), "random", held_out([[0]], [3]), 4)
    assert summary(placed[HISTORY_OUT])["hr@5"] == 1.0
    assert summary(placed[HISTORY_OUT])["short_lists"] == 1


def test_many_equal_scores_cost_no_table_of_all_of_them() -> None:
    """A million ties for each of 500 users; only the ranks within the cutoffs are looked at."""
    rank, ties = np.ones(500, dtype=int), np.full(500, 1_000_000)
    assert metrics.summary(rank, ties)["hr@20"] == pytest.approx(20 / 1e6)


def test_scores_that_are_none_are_refused() -> None:
    """A NaN would stand before all others, and be a hit."""
    with pytest.raises(UserError, match="ranker 'odd': a score is NaN"):
        ask(Fixed([[0.0, np.nan]]), "odd", held_out([[0]], [1]), 2)
    with pytest.raises(UserError, match=r"ranker 'odd': scores of shape \(1, 3\), where \(1, 2\)"):
        ask(Fixed([[0.0, 1.0, 2.0]]), "odd", held_out([[0]], [1]), 2)


def test_what_a_ranker_keeps_is_left_as_it_was() -> None:
    ranker = Fixed([[3.0, 2.0, 1.0]])
    ask(ranker, "fixed", held_out([[0, 1]], [2]), 3)
    assert ranker.scores.tolist() == [[3.0, 2.0, 1.0]]
