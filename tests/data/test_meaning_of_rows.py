"""Rows that can be read, and are not the history their owner thinks: ties, copies, and times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.meaning import (
    FIRST,
    IDS,
    SOUND,
    TIMED,
    csv_files,
    every,
    load,
    refused,
    sequences,
    timed,
    told,
)


@every
def test_sound_files_raise_no_line(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND)
    assert told(use, **options) == []
    assert [item for items in sequences(load(use, **options)).values() for item in items][:5] == (
        ["0", "1", "2", "3", "4"] if use == "lcrec" else ["i0", "i1", "i2", "i3", "i4"]
    )


@timed
def test_ties_are_told_and_drawn_by_the_seed_whatever_the_order_of_the_file(
    tmp_path: Path, use: str, write: Any
) -> None:
    days = [(user, item, FIRST + (time - FIRST) // 2000 * 86_400) for user, item, time in SOUND]
    options = write(tmp_path, sorted(days, key=lambda row: row[1]))
    (line,) = told(use, **options)
    assert line.startswith("32 of 40 interactions have the same time as one of their user with another item")
    assert "8 of 8 validation, 0 of 8 test" in line
    assert "'ties: random'" in line
    assert told(use, **options, ties="random") == []
    by_item = sequences(load(use, **options, ties="random"))
    shuffled = [days[n] for n in np.random.default_rng(0).permutation(len(days))]
    assert sequences(load(use, **write(tmp_path, shuffled), ties="random")) == by_item
    assert sequences(load(use, **write(tmp_path, shuffled), ties="random", seed=1)) != by_item
    assert sequences(load(use, **write(tmp_path, shuffled))) != by_item
    assert {user: sorted(items) for user, items in by_item.items()} == {
        user: sorted(items) for user, items in sequences(load(use, **options)).items()
    }
    # what is not tied stays where it is
    assert [items[-1] for items in by_item.values()] == [f"i{(n + 4) % 8}" for n in range(8)]


def test_no_place_in_a_tie_is_likelier_than_another(tmp_path: Path) -> None:
    """Of 400 users with the same three items at the same time, about a sixth has each order."""
    events = [(f"u{n}", item, FIRST) for n in range(400) for item in "abc"]
    options = csv_files(tmp_path, events) | {"items": None, "ties": "random"}
    orders = ["".join(items) for items in sequences(load("csv", **options)).values()]
    counts = [orders.count(order) for order in ("abc", "acb", "bac", "bca", "cab", "cba")]
    assert sum(counts) == 400
    assert sum((count - 400 / 6) ** 2 / (400 / 6) for count in counts) < 20.5  # chi-squared, p = 0.001


@every
def test_copies_are_told_and_dropped(tmp_path: Path, use: str, write: Any) -> None:
    copied = [row for n, row in enumerate(SOUND) for row in [row] * (1 + (n % 5 == 4))]
    options = write(tmp_path, copied)
    (line,) = told(use, **options)
    what = "with the item just before" if use == "lcrec" else "exact copies of another"
    assert line.startswith(f"8 of 48 interactions are {what}")
    assert "8 of 8 test targets are the item just before" in line
    assert "'copies: drop'" in line
    assert told(use, **options, copies="drop") == []
    once = load(use, **options, copies="drop")
    assert once.reading.left_out["copies"].interactions == 8
    assert sequences(once) == sequences(load(use, **write(tmp_path, SOUND)))


def test_genuine_reorders_are_no_copies(tmp_path: Path) -> None:
    again = [*SOUND, *((user, "i7", FIRST + 10**8) for user in ("u3", "u4"))]
    options = csv_files(tmp_path, again)
    data = load("csv", **options, copies="drop")
    assert len(data.sequences.items) == 42
    (line,) = told("csv", **options)
    assert line.startswith("2 of 8 test targets stand in the user's own history")


def test_untimed_copies_are_items_twice_in_a_row(tmp_path: Path) -> None:
    events = [(user, item, 0) for user, item, _ in SOUND for _ in range(1 + (item == "i3"))]
    options = csv_files(tmp_path, events) | {"time": None}
    assert "'copies: drop'" in told("csv", **options)[0]
    assert len(load("csv", **options, copies="drop").sequences.items) == 40


@timed
def test_two_units_of_time_are_refused(tmp_path: Path, use: str, write: Any) -> None:
    write(tmp_path, SOUND)
    new = use == "amazon_reviews" and "timestamp" in (tmp_path / "r.json").read_text()
    early, late = (1000, 10**6) if new else (1000, 1)
    mixed = [(u, i, t * (early if n % 5 < 3 else late)) for n, (u, i, t) in enumerate(SOUND)]
    line = refused(use, **write(tmp_path, mixed))
    head = 2 if use in ("csv", "recbole") else 1
    assert f":{head + 3}: its time " in line
    assert f":{head}, {mixed[0][2]}, in milliseconds" in line


def test_iso_times_count_as_seconds(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    log = tmp_path / "log.csv"
    log.write_text(log.read_text() + "u9,i1,2021-01-01\nu9,i2,2021-01-02\nu9,i3,2021-01-03\n")
    assert told("csv", **options) == []
    log.write_text(log.read_text() + "u9,i4,1640000000000\n")
    assert "log.csv:45: its time 1640000000000 is in milliseconds" in refused("csv", **options)


@timed
def test_times_that_are_absent_are_told(tmp_path: Path, use: str, write: Any) -> None:
    zero = [(u, i, 0 if n == 7 else t) for n, (u, i, t) in enumerate(SOUND)]
    (line,) = told(use, **write(tmp_path, zero))
    assert line.startswith("1 of 40 times are no dates as the others are")
    assert f":{8 + (use in ('csv', 'recbole'))}, say" in line


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_rows_that_are_newest_first(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND[::-1])
    (line,) = told(use, **options, time=None)
    column = "timestamp" if use == "recbole" else "time"
    assert line.startswith("rows are taken as oldest first ('time: null'), but 100% of a user's steps")
    assert f"set 'time: {column}'" in line
    assert told(use, **write(tmp_path, SOUND), time=None) == []


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_a_time_that_is_a_rating(tmp_path: Path, use: str, write: Any) -> None:
    rated = [(u, i, 1 + n % 4) for n, (u, i, _) in enumerate(SOUND)]
    (line,) = told(use, **write(tmp_path, rated))
    assert line.endswith("there are but 4 different times: is 'time' the right column?")
