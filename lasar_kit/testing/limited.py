"""Searches of which each row may list some of the catalogue's items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.testing.strategies import Search, searches


@dataclass(frozen=True)
class Limited:
    """A search, the items that each row names (some several times), whether it may list these alone, and, if
    it may not, whether it may list those of the set `among` alone, less what it names."""

    search: Search
    items: list[list[int]]
    only: list[bool]
    among: list[int]
    shares: list[bool]

    @property
    def allowed(self) -> Allowed:
        shared = np.unique(np.array(self.among, dtype=np.int64))
        limits = []
        for items, only, shares in zip(self.items, self.only, self.shares, strict=True):
            named = np.array(items, dtype=np.int64)
            limits.append(Limit.within(shared, named) if shares and not only else Limit(named, only))
        return Allowed.of(limits)

    def holds(self, b: int, item: int) -> bool:
        """Whether row b may list an item."""
        named = item in self.items[b]
        return named if self.only[b] else not named and (not self.shares[b] or item in self.among)

    def leaves(self, b: int) -> list[int]:
        """The distinct sequences that row b may list, as places in those of the search: of one that items
        share, any of these."""
        listed = [item for item in range(len(self.search.table)) if self.holds(b, item)]
        return sorted({self.search.leaves.index(self.search.table[item]) for item in listed})

    def narrow(self, width: int) -> Limited:
        """The same with another width."""
        return replace(self, search=replace(self.search, width=width))


@st.composite
def limited(draw: st.DrawFn) -> Limited:
    """Rows that name no item, some or all of them, each of any kind."""
    search = draw(searches())
    rows = len(search.thinking.prompts)
    named = st.lists(st.integers(0, len(search.table) - 1), max_size=10)
    only, shares = ([draw(st.booleans()) for _ in range(rows)] for _ in range(2))
    return Limited(search, [draw(named) for _ in range(rows)], only, draw(named), shares)
