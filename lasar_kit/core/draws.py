"""Random numbers that belong to the rows of a batch, whichever process has them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor


class RowDraws:
    """Numbers for some rows of a batch, the same however the batch is split.

    Every share of the batch draws for all `count` rows of it and keeps those of its own `rows`. The numbers
    come from the CPU, and from `key` alone: a name, a seed, and what else tells one batch from another.
    """

    def __init__(self, key: str, rows: Sequence[int], count: int) -> None:
        assert all(0 <= row < count for row in rows), f"rows {rows} of {count}"
        self.rows, self.count = torch.tensor(list(rows), dtype=torch.int64), count
        self.generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))

    def uniform(self, *shape: int) -> Float64[Tensor, "rows ..."]:
        """The next numbers in [0, 1), of the given shape for each row."""
        drawn = torch.rand((self.count, *shape), generator=self.generator, dtype=torch.float64)
        return drawn[self.rows]
