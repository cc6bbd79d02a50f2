"""Histories as rows of item weights, the latest items counting most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_matrix


def recent_items(
    histories: Sequence[Int[np.ndarray, " H"]], items: int, recent: int = 0, decay: float = 1.0
) -> csr_matrix:
    """A row a history over I items, [U, I]: decay^age for each of its last `recent` items, 0 for all of them.

    The latest has age 0; an item that comes twice has the sum.
    """
    kept = [history[::-1][: recent or None] for history in histories]
    row = np.repeat(np.arange(len(kept)), [len(history) for history in kept])
    ages = [np.arange(len(history)) for history in kept]
    weight = decay ** np.concatenate([np.zeros(0), *ages])
    column = np.concatenate([np.zeros(0, dtype=np.int64), *kept]).astype(np.int64)
    return csr_matrix((weight, (row, column)), shape=(len(kept), items))
