"""Times of interactions: read from text, and held to one unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Float

from lasar_kit.errors import UserError

_SINCE, _UNTIL = 3e8, 5e9
"""Seconds since 1970 that are dates of interactions: 1979 to 2128. Those in other units lie far apart."""
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_BETWEEN = 0.01
"""The share of values between these ranges from which on the numbers are none since 1970."""


def seconds(text: str) -> float:
    """A time as a number: numbers as they are, ISO 8601 as seconds since 1970, UTC where no zone is given.

    >>> seconds("5e3"), seconds("1970-01-02")
    (5000.0, 86400.0)
    """
    try:
        value = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def is_time(text: str) -> bool:
    """Whether `seconds` can read it."""
    try:
        seconds(text)
    except (ValueError, OverflowError):
        return False
    return True


def one_unit(time: Float[np.ndarray, " N"], place: Callable[[int], str]) -> tuple[str, ...]:
    """Remarks on times that are unlike the others; `UserError` for dates in more than one unit.

    `place(n)` names where the n-th time stands, as errors do.
    """
    inside = {
        unit: (time >= _SINCE * scale) & (time < _UNTIL * scale)
        for unit, scale in _UNITS.items()
        if len(time) and time.max() >= _SINCE * scale
    }
    present = sorted(
        (unit for unit, mask in inside.items() if mask.any()), key=lambda unit: -int(inside[unit].sum())
    )
    if not present:
        return ()
    other = ~np.logical_or.reduce([inside[unit] for unit in present])
    if (other & (time >= _UNTIL)).mean() >= _BETWEEN:
        return ()
    if len(present) > 1:
        most, least = (int(inside[unit].argmax()) for unit in present[:2])
        raise UserError(
            f"{place(least)}: its time {time[least]:.15g} is in {present[1]} since 1970, but that of "
            f"{place(most)}, {time[most]:.15g}, in {present[0]}; one unit is expected throughout (ISO 8601 "
            "counts as seconds)"
        )
    if not 0 < other.mean() < 0.5:
        return ()
    odd = int(other.argmax())
    return (
        f"{int(other.sum()):,} of {len(time):,} times are no dates as the others are, in {present[0]} since "
        f"1970: {time[odd]:.15g} at {place(odd)}, say; leave such rows out, or give them their times",
    )
