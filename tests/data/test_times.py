"""Times are in one unit, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from lasar_kit.core.sources.times import is_time, one_unit
from lasar_kit.errors import UserError

DATES = 1.4e9 + 86_400 * np.arange(10.0)


def place(row: int) -> str:
    return f"log.csv:{row + 2}"


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e6, 1e9])
def test_any_one_unit_is_sound(factor: float) -> None:
    assert one_unit(DATES * factor, place) == ()


@pytest.mark.parametrize(
    "numbers",
    [np.arange(30.0), np.geomspace(1, 1e15, 200), np.linspace(0, 1e12, 200), np.array([]), -DATES],
    ids=["steps", "wide", "even", "none", "before 1970"],
)
def test_numbers_that_are_no_dates_are_sound(numbers: np.ndarray) -> None:
    assert one_unit(numbers, place) == ()


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")]
)
def test_two_units_are_refused_with_a_line_of_each(factor: float, unit: str) -> None:
    times = DATES.copy()
    times[6:8] *= factor
    with pytest.raises(UserError) as caught:
        one_unit(times, place)
    (line,) = caught.value.lines
    assert line.startswith(
        f"log.csv:8: its time {times[6]:.15g} is in {unit} since 1970, but that of log.csv:2, "
    )
    assert f"{times[0]:.15g}, in seconds" in line


def test_times_that_are_absent_are_told() -> None:
    times = np.concatenate([DATES, [0.0, -1.0]])
    (remark,) = one_unit(times, place)
    assert remark.startswith(
        "2 of 12 times are no dates as the others are, in seconds since 1970: 0 at log.csv:12"
    )


def test_is_time() -> None:
    assert [is_time(text) for text in ("7", "2024-01-02", "user", "", "nan", "1e999")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
