"""Random numbers of some rows of a batch."""

from __future__ import annotations

import zlib

import torch

from lasar_kit.core.draws import RowDraws


def test_rows_have_the_numbers_of_the_whole_batch() -> None:
    """Float64, from a generator seeded by the name: two calls take two stretches of it."""
    generator = torch.Generator().manual_seed(zlib.crc32(b"depth 7"))
    first = torch.rand((5, 2, 3), generator=generator, dtype=torch.float64)
    second = torch.rand((5,), generator=generator, dtype=torch.float64)
    draws = RowDraws("depth 7", [3, 0], 5)
    assert torch.equal(draws.uniform(2, 3), first[[3, 0]])
    assert torch.equal(draws.uniform(), second[[3, 0]])
    assert draws.uniform().dtype == torch.float64


def test_no_rows_have_no_numbers() -> None:
    assert RowDraws("depth 7", [], 5).uniform(2).shape == (0, 2)
