"""Searches of which each row may list some of the catalogue's items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.testing.strategies import Search, searches


@dataclass(frozen=True)
class Limited:
    """A search, the items that each row names (some several times), and whether it may list these alone."""

    search: Search
    items: list[list[int]]
    only: list[bool]

    @property
    def allowed(self) -> Allowed:
        pairs = zip(self.items, self.only, strict=True)
        return Allowed.of([Limit(np.array(items, dtype=np.int64), only) for items, only in pairs])

    def leaves(self, b: int) -> list[int]:
        """The distinct sequences that row b may list, as places in those of the search: of one that items
        share, any of these."""
        listed = [item for item in range(len(self.search.table)) if (item in self.items[b]) == self.only[b]]
        return sorted({self.search.leaves.index(self.search.table[item]) for item in listed})

    def narrow(self, width: int) -> Limited:
        """The same with another width."""
        return replace(self, search=replace(self.search, width=width))


@st.composite
def limited(draw: st.DrawFn) -> Limited:
    """Rows that name no item, some or all of them, each of either kind."""
    search = draw(searches())
    rows = len(search.thinking.prompts)
    named = st.lists(st.integers(0, len(search.table) - 1), max_size=10)
    return Limited(search, [draw(named) for _ in range(rows)], [draw(st.booleans()) for _ in range(rows)])
