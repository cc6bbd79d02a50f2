"""Catalogues of more than twenty leaves, many of which score alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from lasar_kit.testing.strategies import SEEDS, Search, Thinking


@dataclass(frozen=True)
class Crowd:
    """A catalogue of more than twenty leaves that often score alike, on a prompt with two branches."""

    levels: int
    leaves: int
    seed: int

    @property
    def search(self) -> Search:
        """Distinct sequences in no order; a search as wide as all of them."""
        fan = {1: (30,), 2: (5, 8), 3: (3, 4, 4)}[self.levels]
        every = torch.cartesian_prod(*(torch.arange(6, 6 + size) for size in fan)).view(-1, self.levels)
        order = torch.randperm(len(every), generator=torch.Generator().manual_seed(self.seed))
        prompt = [3 + self.seed % 10, 7, 4]
        thinking = Thinking([prompt], [[2, 1]], [[0, 0]], [[3, 3]], pads=1)
        return Search(every[order[: self.leaves]].tolist(), thinking, self.leaves, coarse=True)


CROWDS = st.builds(Crowd, st.integers(1, 3), st.integers(20, 30), SEEDS)
