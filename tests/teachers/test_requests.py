"""Requests from a data set, and the question a language model is asked."""

from __future__ import annotations

import polars as pl
import pytest

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.reasoning.from_dataset import requests_of
from lasar_kit.core.reasoning.prompt import INSTRUCTIONS, messages

ITEMS = [("soap", "Alba", "Bath", "2.5"), ("oil", "", "Face, Oils", ""), ("toner", "Alba", "", "9")]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rows = [(str(n), *item[:3], "a long description", item[3]) for n, item in enumerate(ITEMS)]
    schema = ["id", "title", "brand", "categories", "description", "price"]
    items = pl.DataFrame(rows, schema=schema, orient="row")
    return Dataset(("u0", "u1"), items, Sequences.of([[0, 1, 2], [2, 0, 1, 2, 0]]))


def test_a_history_ends_before_its_target(dataset: Dataset) -> None:
    soap, oil, toner = (ReasoningItem(*item) for item in ITEMS)
    assert requests_of(dataset, [(1, 1, 3), (0, 0, 1)]) == [
        ReasoningRequest("u1", 3, (soap, oil), None),
        ReasoningRequest("u0", 1, (soap,), None),
    ]
    assert requests_of(dataset, [(1, 1, 3)], with_target=True)[0].target == toner


@pytest.mark.parametrize("place", [(0, 1, 1), (0, 0, 3), (0, -1, 1)])
def test_a_place_outside_the_sequence(dataset: Dataset, place: tuple[int, int, int]) -> None:
    with pytest.raises(AssertionError):
        requests_of(dataset, [place])


def test_the_question_lists_the_history_as_it_is() -> None:
    history = (
        ReasoningItem(" Soap &amp; Oil ", "Alba", "Bath, Soaps", "2.5"),
        ReasoningItem("", "", "Oils", ""),
    )
    system, question = messages(ReasoningRequest("u", 2, history), None, show_target=False)
    assert system == INSTRUCTIONS
    assert question == (
        "The customer's purchases, oldest first:\n"
        "1. Soap & Oil (brand: Alba; categories: Bath, Soaps; price: 2.5)\n"
        "2. an item without a title (categories: Oils)"
    )


def test_the_target_is_shown_only_where_it_is_asked_for() -> None:
    target = ReasoningItem("Rose Toner", "Kiehl", "Toners", "77")
    request = ReasoningRequest("u", 1, (ReasoningItem("soap"),), target)
    untold = ReasoningRequest("u", 1, (ReasoningItem("soap"),))
    assert messages(request, None, False) == messages(untold, None, False)
    assert messages(untold, None, True) == messages(untold, None, False)
    system, question = messages(request, "Say why.", True)
    assert system == "Say why."
    assert question.endswith("must not name: Rose Toner (brand: Kiehl; categories: Toners; price: 77)")
