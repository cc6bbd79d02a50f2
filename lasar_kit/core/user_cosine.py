"""How alike two items are by the users who have them."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from lasar_kit.core.dataset import Sequences


def user_cosine(train: Sequences, items: int) -> csr_matrix:
    """Cosine between the columns of the binary user-item matrix, [I, I]; 1 of an item with itself."""
    user = np.repeat(np.arange(len(train)), train.lengths)
    seen = csr_matrix((np.ones(len(train.items)), (user, train.items)), shape=(len(train), items))
    seen.data[:] = 1.0  # a repeat counts once
    norm = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
    unit = seen.multiply(1.0 / np.maximum(norm, 1.0)).tocsr()
    return csr_matrix(unit.T @ unit)
