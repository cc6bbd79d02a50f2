"""Gathering, filtering and ordering of interactions, against brute force."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.sources import interactions
from lasar_kit.core.sources.interactions import InteractionLog, Interactions, core, histories
from lasar_kit.core.sources.options import InteractionOptions
from lasar_kit.errors import UserError

Events = list[tuple[str, str, float]]

EVENTS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("uvwxyz"), st.integers(0, 5).map(float)), max_size=60
)


def gathered(events: Events) -> Interactions:
    log = InteractionLog()
    log.extend(events)
    return log.interactions()


def options(**given: object) -> InteractionOptions:
    return InteractionOptions.model_validate({"use": "any"} | given)


def brute_core(events: Events, user_min: int, item_min: int) -> Events:
    """Removes one offending interaction at a time, so by another order than the code under test."""
    left = list(events)
    while True:
        users, items = Counter(e[0] for e in left), Counter(e[1] for e in left)
        bad = next((e for e in reversed(left) if users[e[0]] < user_min or items[e[1]] < item_min), None)
        if bad is None:
            return left
        left.remove(bad)


def brute_histories(events: Events, k: int, repeats: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    ordered = sorted(events, key=lambda e: e[2])
    if repeats != "all":
        chosen: dict[tuple[str, str], int] = {}
        for place, event in enumerate(ordered):
            if repeats == "last" or event[:2] not in chosen:
                chosen[event[:2]] = place
        ordered = [event for place, event in enumerate(ordered) if place in chosen.values()]
    multiset = Counter(brute_core(ordered, max(k, 3), max(k, 1)))
    for event in ordered:
        if event in multiset:
            rows.setdefault(event[0], []).append(event[1])
    return dict(sorted(rows.items()))


@given(EVENTS, st.integers(0, 4), st.integers(0, 4))
def test_core_is_what_brute_force_leaves(events: Events, user_min: int, item_min: int) -> None:
    log = gathered(events)
    left = core(log, user_min, item_min)
    found = [
        (log.user_ids[u], log.item_ids[i], t) for u, i, t in zip(left.user, left.item, left.time, strict=True)
    ]
    assert Counter(found) == Counter(brute_core(events, user_min, item_min))


def test_core_goes_on_to_a_fixed_point() -> None:
    """Rare items take users with them and these other items, so that one pass would keep too much."""
    events = [(u, i, 0.0) for u, row in {"a": "uvw", "b": "uvw", "c": "uxy", "d": "vwx"}.items() for i in row]
    # y has one user, so c is left with two items and goes; x then has one user, and d goes
    left = core(gathered(events), 3, 2)
    assert sorted({left.user_ids[user] for user in left.user}) == ["a", "b"]
    assert len(left) == 6
    assert len(core(gathered(events), 3, 3)) == 0  # c and d go at once, and leave two users to every item


@given(EVENTS, st.integers(0, 4), st.sampled_from(["first", "last", "all"]))
def test_histories_are_what_brute_force_gives(events: Events, k: int, repeats: str) -> None:
    expected = brute_histories(events, k, repeats)
    if not expected:
        with pytest.raises(UserError, match="no user has 3 items"):
            histories(gathered(events), options(k_core=k, repeats=repeats), "here")
        return
    found = histories(gathered(events), options(k_core=k, repeats=repeats), "here")
    rows = {user: [found.items[i] for i in found.sequences[u]] for u, user in enumerate(found.users)}
    assert rows == expected
    assert list(rows) == sorted(rows)
    assert list(found.items) == sorted({item for row in rows.values() for item in row})


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_of_input_matters_only_among_equal_times(events: Events, random: object) -> None:
    apart = [(user, item, float(n)) for n, (user, item, _) in enumerate(events)]
    shuffled = list(apart)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    try:
        first = histories(gathered(apart), options(), "here")
    except UserError:
        return
    second = histories(gathered(shuffled), options(), "here")
    assert (first.users, first.items) == (second.users, second.items)
    assert first.sequences.items.tolist() == second.sequences.items.tolist()


def test_equal_times_keep_the_order_of_the_input() -> None:
    found = histories(gathered([("a", i, 7.0) for i in "zyxzy"]), options(), "here")
    assert [found.items[i] for i in found.sequences[0]] == list("zyxzy")


@pytest.mark.parametrize(("keep", "row"), [("first", "xyz"), ("last", "yxz"), ("all", "xyxz")])
def test_repeats(keep: str, row: str) -> None:
    events = [("a", item, float(time)) for time, item in enumerate("xyxz")]
    found = histories(gathered(events), options(repeats=keep), "here")
    assert "".join(found.items[i] for i in found.sequences[0]) == row


def test_max_users_keeps_the_first_and_only_their_items() -> None:
    events = [(u, i, 0.0) for u, row in {"c": "uvw", "a": "xyz", "b": "xyv"}.items() for i in row]
    found = histories(gathered(events), options(max_users=2), "here")
    assert found.users == ("a", "b")
    assert found.items == ("v", "x", "y", "z")
    assert [row.tolist() for row in (found.sequences[0], found.sequences[1])] == [[1, 2, 3], [1, 2, 0]]
    assert found.sequences.items.dtype == np.int32


def test_short_users_do_not_take_an_item_below_k() -> None:
    """With k = 2, b has two interactions and is left out; y, at two, then has one, and goes too."""
    events = [("a", i, float(t)) for t, i in enumerate("xxxxy")] + [("b", "x", 0.0), ("b", "y", 1.0)]
    found = histories(gathered(events), options(k_core=2), "here")
    assert found.users == ("a",)
    assert found.items == ("x",)


def test_the_error_names_input_and_filters() -> None:
    with pytest.raises(UserError) as caught:
        histories(gathered([("a", "x", 0.0)]), options(k_core=5), "reviews.json")
    assert caught.value.lines == (
        "reviews.json: no user has 3 items left of 1 interactions under k_core 5 and repeats 'all'",
    )


def test_an_interaction_takes_sixteen_bytes() -> None:
    log = gathered([("a", "x", 1.5), ("b", "x", 2.5)])
    assert sum(column.itemsize for column in (log.user, log.item, log.time)) == 16
    assert interactions.MIN_SEQUENCE == 3
