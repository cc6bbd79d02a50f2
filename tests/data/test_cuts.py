"""The parts of a user's sequence: leave-one-out, and those that a data source brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.data import stored_dataset
from lasar_kit.data.held_out import HeldOut
from lasar_kit.errors import UserError

ROWS = [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9], [1, 2, 3]]
CUTS = [[2, 4], [2, 2], [0, 1], [1, 1]]


def dataset(rows: list[list[int]], cuts: list[list[int]] | None) -> Dataset:
    users = tuple(f"u{row}" for row in range(len(rows)))
    items = pl.DataFrame({"id": [str(item) for item in range(20)]})
    return Dataset(users, items, Sequences.of(rows), None if cuts is None else np.array(cuts))


def asked(data: Dataset, split: str, **options: int) -> list[tuple[int, list[int], int]]:
    found = HeldOut.of(data, split, **options)  # type: ignore[arg-type]
    histories = [history.tolist() for history in found.histories]
    return list(zip(found.users.tolist(), histories, found.target.tolist(), strict=True))


def test_parts_by_hand() -> None:
    """User 0 has 2, 3 for validation and 4 for test; user 1 trains alone; user 2 is asked from nothing and
    then from 7; user 3 has no validation part."""
    data = dataset(ROWS, CUTS)
    assert [data.train[user].tolist() for user in range(4)] == [[0, 1], [5, 6], [], [1]]
    assert asked(data, "validation") == [(0, [0, 1], 2), (2, [], 7)]
    assert asked(data, "test") == [(0, [0, 1, 2, 3], 4), (2, [7], 8), (3, [1], 2)]


@given(st.lists(st.lists(st.integers(0, 19), min_size=3, max_size=6), min_size=1, max_size=5))
def test_without_cuts_it_is_leave_one_out(rows: list[list[int]]) -> None:
    data = dataset(rows, None)
    cut = dataset(rows, [[len(row) - 2, len(row) - 1] for row in rows])
    assert asked(data, "test") == [(user, row[:-1], row[-1]) for user, row in enumerate(rows)]
    assert asked(data, "validation") == [(user, row[:-2], row[-2]) for user, row in enumerate(rows)]
    for split in ("test", "validation"):
        assert asked(data, split) == asked(cut, split)
    assert [data.train[user].tolist() for user in range(len(rows))] == [row[:-2] for row in rows]


def test_a_limit_draws_among_those_who_have_the_part() -> None:
    rows = [[1, 2]] * 50 + [[3, 4]] * 50
    data = dataset(rows, [[2, 2]] * 50 + [[1, 1]] * 50)
    drawn = asked(data, "test", limit=20, seed=4)
    assert len({user for user, _, _ in drawn}) == 20
    assert all(user >= 50 for user, _, _ in drawn)
    assert drawn == asked(data, "test", limit=20, seed=4) != asked(data, "test", limit=20, seed=5)


def test_nobody_to_ask_is_a_mistake_of_the_data() -> None:
    with pytest.raises(UserError, match="no user has a validation item"):
        asked(dataset([[1, 2]], [[1, 1]]), "validation")


@pytest.mark.parametrize("rows", [[[], [3, 1], [], []], [[2]], [[], []]])
def test_users_without_an_item_are_stored(tmp_path: Path, rows: list[list[int]]) -> None:
    data = dataset(rows, None)
    stored_dataset.save(data, tmp_path)
    found = stored_dataset.load(tmp_path)
    assert [list(found.sequences[user]) for user in range(len(found.users))] == rows
    assert found.sequences.items.dtype == np.int32


@pytest.mark.parametrize("cuts", [None, CUTS])
def test_stored_and_read_again(tmp_path: Path, cuts: list[list[int]] | None) -> None:
    data = dataset(ROWS, cuts)
    stored_dataset.save(data, tmp_path)
    found = stored_dataset.load(tmp_path)
    assert found.users == data.users
    assert (found.cuts is None) == (cuts is None)
    assert np.array_equal(found.parts, data.parts)
    assert np.array_equal(found.sequences.items, data.sequences.items)
