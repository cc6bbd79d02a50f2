"""Laws for every ranker."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from lasar_kit.core.capabilities import GivesProbabilities, ScoresWithout
from lasar_kit.core.dataset import ITEM_COLUMNS, Sequences
from lasar_kit.core.interfaces import Ranker
from lasar_kit.spec import RankerConfig
from lasar_kit.testing.contract import Contract, Subject, expect
from lasar_kit.testing.item_strategies import Asked, asked

Inputs = tuple[Sequences, pl.DataFrame, list[np.ndarray]]


def _given(case: Asked) -> Inputs:
    return case.shop.sequences, case.shop.items, case.rows


def _settle(component: Ranker, inputs: Inputs) -> None:
    component.fit(*inputs[:2])


def _act(component: Ranker, inputs: Inputs) -> dict[str, Any]:
    return {"scores": component.score(inputs[2])}


ranker = Contract(
    "ranker",
    Ranker,
    asked(),
    _given,
    _act,
    settle=_settle,
    types={"scores": (np.dtype(np.float64),)},
    forgets=True,
)


def _fitted(subject: Subject, train: Sequences, items: pl.DataFrame) -> Ranker:
    component: Ranker = subject.fresh()
    component.fit(train, items)
    return component


def _expect_same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Equal but for rounding, -inf at the same places."""
    with np.errstate(invalid="ignore"):
        apart = ~((found == expected) | (np.abs(found - expected) <= 1e-6 * (1 + np.abs(expected))))
    if apart.any():
        place = tuple(np.argwhere(apart)[0].tolist())
        expect(False, f"{what} the score at {list(place)} is {found[place]:.6g}, not {expected[place]:.6g}")


@ranker.check("Return a row a history, a column an item; -inf, never NaN, for what is not to be listed.")
def scores_are_numbers_or_none(subject: Subject, case: Asked) -> None:
    """There is one score for each item behind each history: a finite number, or -inf."""
    train, items, histories = _given(case)
    scores = _fitted(subject, train, items).score(histories)
    shape = (len(histories), items.height)
    expect(scores.shape == shape, f"scores of shape {scores.shape}, not [U, I] = {shape}")
    bad = np.isnan(scores) | (scores == np.inf)
    expect(not bad.any(), f"a score is {scores[bad][:1].tolist()}")


@ranker.check("Read each history by itself; normalise over no batch.")
def histories_are_judged_alone(subject: Subject, case: Asked) -> None:
    """A history has the scores among others, in whatever order, that it has alone."""
    train, items, histories = _given(case)
    component = _fitted(subject, train, items)
    scores, backward = component.score(histories), component.score(histories[::-1])[::-1]
    for user, history in enumerate(histories):
        alone = component.score([history])[0]
        _expect_same(scores[user], alone, f"history {user} among others, not alone:")
        _expect_same(backward[user], alone, f"history {user} among others in another order:")


@ranker.check(
    "Score a history's own items like all others; they are left out where that is asked.", examples=1
)
def histories_are_left_in(subject: Subject, case: Asked) -> None:
    """Behind a history that all others repeat over and over, one of its items is listed."""
    train = Sequences.of([[0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1]])
    scores = _fitted(subject, train, case.shop.items).score([np.array([0, 1, 0, 1])])
    own = scores[0, :2]
    expect(bool((own > -np.inf).any()), f"the scores of the history's own items are {own.tolist()}")


@ranker.check("Let `score_both` give what `score` gives, and then scores without each history's own items.")
def histories_are_left_out_where_asked(subject: Subject, case: Asked) -> None:
    """Where there is `score_both`: the first scores are those of `score`, the second leave histories out."""
    if not isinstance(subject.component, ScoresWithout):
        return
    train, items, histories = _given(case)
    component: Any = _fitted(subject, train, items)
    inside, outside = component.score_both(histories)
    _expect_same(inside, component.score(histories), "of both,")
    for history, row in zip(histories, outside, strict=True):
        told = f"items {history.tolist()} of the history have scores {row[history].tolist()}"
        expect(np.all(row[history] == -np.inf), told)


@ranker.check(
    "Say `normalised_by: ClassVar[Normalise] = 'softmax'` among the options where scores are logarithms, or "
    "others below 0.",
    examples=1,
)
def scores_can_be_mixed(subject: Subject, case: Asked) -> None:
    """Where probabilities are to be made of scores by their sum, not all scores are below 0, by which all
    items would be alike."""
    said = subject.config.normalised_by if isinstance(subject.config, RankerConfig) else "sum"
    if said != "sum" or isinstance(subject.component, GivesProbabilities):
        return
    train = Sequences.of([[0, 1, 0, 1], [1, 0, 1], [0, 1]])
    scores = _fitted(subject, train, case.shop.items).score([np.array([0]), np.array([1, 0])])
    listed = scores[scores > -np.inf]
    alike = bool((listed <= 0).all() and (listed < 0).any())
    expect(not alike, f"all scores are 0 or below, down to {listed.min(initial=0.0):.6g}")


@ranker.check("Let `probabilities` give each listed item its own, and leave out what no list holds.")
def probabilities_are_of_what_is_listed(subject: Subject, case: Asked) -> None:
    """Where there is `probabilities`: none is below 0, together they are 1 at most, and of what is not listed
    they are 0."""
    if not isinstance(subject.component, GivesProbabilities):
        return
    train, items, histories = _given(case)
    component: Any = _fitted(subject, train, items)
    scores = component.score(histories)
    shares = component.probabilities(scores)
    if shares is None:
        return
    expect(shares.shape == scores.shape, f"probabilities of shape {shares.shape}, not {scores.shape}")
    expect(np.all(shares >= 0), f"a probability is {shares[~(shares >= 0)][:1].tolist()}")
    expect(not shares[scores == -np.inf].any(), "what is not listed has a probability")
    total = shares.sum(1).max(initial=0.0)
    expect(total <= 1 + 1e-6, f"probabilities add up to {total:.6g}")


@ranker.check("Learn in fit alone; score must leave the ranker as it was.")
def asking_teaches_nothing(subject: Subject, case: Asked) -> None:
    """A history has the same scores whatever was asked before."""
    train, items, histories = _given(case)
    component = _fitted(subject, train, items)
    before = np.array(component.score(histories))
    component.score([*histories, np.arange(items.height)])
    after = component.score(histories)
    expect(np.array_equal(before, after), f"asked again, scores are {after.tolist()} for {before.tolist()}")


@ranker.check("Begin fit from nothing: keep no counts of an earlier one.")
def fitting_begins_anew(subject: Subject, case: Asked) -> None:
    """An earlier fit of a ranker does not matter to the next."""
    train, items, histories = _given(case)
    component = _fitted(subject, Sequences.of([[0, 1, 2], [2, 3]]), items)
    component.fit(train, items)
    _expect_same(
        component.score(histories),
        _fitted(subject, train, items).score(histories),
        "fitted on something else before,",
    )


@ranker.check("Weigh users by nothing but their sequences.")
def order_of_users_does_not_matter(subject: Subject, case: Asked) -> None:
    """The same training sequences in another order give the same scores."""
    train, items, histories = _given(case)
    turned = Sequences.of(case.shop.train[::-1])
    _expect_same(
        _fitted(subject, turned, items).score(histories),
        _fitted(subject, train, items).score(histories),
        "users in another order:",
    )


@ranker.check("Return columns in the order of the item table, and let no row number into a score.")
def items_keep_their_scores_in_another_order(subject: Subject, case: Asked) -> None:
    """An item table in another order gives the same items the same scores, in that order."""
    train, items, histories = _given(case)
    order = np.array(case.order)
    row = np.argsort(order)
    moved = Sequences(train.offsets, row[train.items].astype(train.items.dtype))
    found = _fitted(subject, moved, items[case.order]).score([row[history] for history in histories])
    expected = _fitted(subject, train, items).score(histories)[:, order]
    _expect_same(found, expected, "items in another order:")


@ranker.check("Add no noise: equal scores stand in the order of the table, or are drawn by `draws_ties`.")
def what_nothing_tells_apart_scores_the_same(subject: Subject, case: Asked) -> None:
    """Items without text that nobody bought have the same score, to the last bit."""
    train, items, histories = _given(case)
    blank = items.with_columns(pl.lit("").alias(name) for name in ITEM_COLUMNS if name != "id")
    scores: Float[np.ndarray, "U I"] = _fitted(subject, train, blank).score(histories)
    for history, row in zip(histories, scores, strict=True):
        unknown = np.setdiff1d(np.arange(items.height), [*train.items, *history])
        found = np.unique(row[unknown])
        expect(len(found) < 2, f"scores of items that nobody bought are {found[:2].tolist()}")
