"""Two recordings compared: to the last bit, or as near as two processors come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .recording import Recording

FLOOR = 0.01
"""Smaller numbers are compared as if they were as large: losses of RL are sums of terms of 1 to 10 that
cancel, and of such terms float32 holds about 1e-6, which is `numbers` times this."""
MOST_THOUGHTS = 8


@dataclass(frozen=True)
class Tolerance:
    """How far apart two processors may be.

    Between torch's kernels for AVX2, its plain ones, and BLAS kernels for older processors, the largest
    difference of a number is 6e-6; keeping six digits adds 5e-6 at most. A run makes at most ten updates a
    stage, too few for differences to grow; RL keeps the small learning rates of the tutorials: Adam makes
    a whole step of a gradient that is but rounding.
    """

    numbers: float = 1e-4
    """Of a number's size."""
    weights: float = 2e-4
    """Of a tensor's norm; 2e-5 was seen, of anchors, which are stored in float16."""
    rates: float = 0.05
    """Of HR and NDCG: one of a validation's 20 users, for whom two items or depths are as good as tied."""

    def holds(self, name: str, kept: float, found: float, norm: float) -> bool:
        """Whether a number of this name, or of a tensor of this norm, is as near as it must be."""
        if norm:
            return abs(kept - found) <= self.weights * max(norm, FLOOR)
        if name.startswith(("hr@", "ndcg@", "validation_hr@", "validation_ndcg@")):
            return abs(kept - found) <= self.rates
        if name in ("validation_depth", "mean_depth"):
            return abs(kept - found) <= self.rates * MOST_THOUGHTS
        return abs(kept - found) <= self.numbers * max(abs(kept), FLOOR)


def differences(kept: Recording, found: Recording, tolerance: Tolerance | None) -> list[str]:
    """List differences, a line each: a place, and both values; without a tolerance, to the last bit."""
    return list(_differences(kept, found, tolerance, ()))


def _differences(
    kept: Any, found: Any, tolerance: Tolerance | None, path: tuple[str, ...], norm: float = 0.0
) -> Iterator[str]:
    place = " / ".join(path)
    if isinstance(kept, list) and isinstance(found, list):
        if path[0] == "weights":
            norm = kept[0]
        kept, found = ({str(n): part for n, part in enumerate(parts)} for parts in (kept, found))
    if isinstance(kept, dict) and isinstance(found, dict):
        yield from (f"{place}: {key!r} is gone" for key in kept if key not in found)
        yield from (f"{place}: {key!r} is new" for key in found if key not in kept)
        for key in kept.keys() & found.keys():
            yield from _differences(kept[key], found[key], tolerance, (*path, key), norm)
    elif repr(kept) != repr(found) and not _near(path[-1], kept, found, tolerance, norm):
        yield f"{place}: {kept!r} was kept, {found!r} is found"


def _near(name: str, kept: Any, found: Any, tolerance: Tolerance | None, norm: float) -> bool:
    if tolerance is None or not isinstance(kept, float) or not isinstance(found, float):
        return False
    return tolerance.holds(name, kept, found, norm)
