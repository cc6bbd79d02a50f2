"""Items in the order of their SIDs, and where in it each prefix begins.

Shape letters as in `lasar_kit.core.values`, and K token ids of a level, n nodes of it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def prefixes(
    tokens: Int[np.ndarray, "I M"],
) -> tuple[Int[np.ndarray, " I"], list[Bool[np.ndarray, " I"]]]:
    """The items in the order of their tokens, equal ones as they were; and for each level where in that order
    a node begins, its prefix being another than that of the item before."""
    order = np.lexsort(tuple(_narrow(column) for column in tokens.T[::-1]))
    starts = np.zeros(len(order), dtype=bool)
    starts[0] = True
    firsts = []
    for column in tokens[order].T:
        starts = starts.copy()
        starts[1:] |= column[1:] != column[:-1]
        firsts.append(starts)
    return order, firsts


def _narrow(tokens: Int[np.ndarray, " I"]) -> Int[np.ndarray, " I"]:
    """Numbers that are ordered alike, of 16 bits where these suffice: such are sorted digit by digit, in a
    tenth of the time."""
    above: Int[np.ndarray, " I"] = tokens - tokens.min()
    return above.astype(np.uint16) if above.max() < 2**16 else above


def codes(tokens: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " K"], Int[np.ndarray, " n"]]:
    """The tokens that there are, ascending, and which of them each is: found by marks, without sorting."""
    marks = np.zeros(int(tokens.max()) + 1, dtype=bool)
    marks[tokens] = True
    return np.flatnonzero(marks), (marks.cumsum() - 1)[tokens]
