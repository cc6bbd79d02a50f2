"""Inputs for checks of item components: catalogues, histories and reasoning texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.dataset import ITEM_COLUMNS, Sequences
from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.testing.strategies import SEEDS, Table, numbers
from lasar_kit.testing.tiny import ITEM_IDS


@dataclass(frozen=True)
class Catalogue:
    """Eight items, `same[i]` being the item whose text and vector item i has; and users' training parts."""

    same: list[int]
    seed: int
    width: int
    train: Table

    @property
    def vectors(self) -> Float[Tensor, "I E"]:
        return numbers(len(ITEM_IDS), self.width, seed=self.seed)[self.same]

    @property
    def items(self) -> pl.DataFrame:
        """Texts of one to three words; item 0 and its like have none."""
        words = (
            "",
            "red polish",
            "Shampoo for dry hair",
            "soap",
            "red",
            "dry soap",
            "añ € 3",
            "polish, hair",
        )
        titles = [words[source] for source in self.same]
        empty = dict.fromkeys(ITEM_COLUMNS, [""] * len(titles))
        named = empty | {"id": list(ITEM_IDS), "title": titles, "brand": titles[::-1]}
        return pl.DataFrame(named, schema=dict.fromkeys(ITEM_COLUMNS, pl.String))

    @property
    def sequences(self) -> Sequences:
        return Sequences.of(self.train)


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """Items that are all different, all the same, or anything between."""
    count = len(ITEM_IDS)
    same = [draw(st.integers(0, item)) for item in range(count)]
    train = draw(st.lists(st.lists(st.integers(0, count - 1), max_size=4), min_size=1, max_size=3))
    return Catalogue(same, draw(SEEDS), draw(st.integers(1, 4)), train)


@dataclass(frozen=True)
class Asked:
    """A catalogue, histories of its items, and another order of the item table."""

    shop: Catalogue
    histories: Table
    order: list[int]

    @property
    def rows(self) -> list[Int[np.ndarray, " H"]]:
        return [np.array(history, dtype=np.int64) for history in self.histories]


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    """Up to three histories, empty ones and repeats among them."""
    item = st.integers(0, len(ITEM_IDS) - 1)
    histories = draw(st.lists(st.lists(item, max_size=4), min_size=1, max_size=3))
    return Asked(draw(catalogues()), histories, draw(st.permutations(range(len(ITEM_IDS)))))


@dataclass(frozen=True)
class Histories:
    """Users `user-0`, `user-1`, … with titles of their purchases; user u's request ends at len(history)."""

    titles: list[list[str]]

    def requests(self, target: str | None = None) -> list[ReasoningRequest]:
        """A request a user, of the item that came next only if it is given."""
        came = None if target is None else ReasoningItem(title=target)
        return [
            ReasoningRequest(f"user-{user}", len(row), tuple(ReasoningItem(title) for title in row), came)
            for user, row in enumerate(self.titles)
        ]


HISTORIES = st.builds(
    Histories,
    st.lists(st.lists(st.sampled_from(["", "Red polish", "Shampoo"]), min_size=1, max_size=3), max_size=3),
)
"""Up to three users of one to three purchases, some without a title."""

TEXTS = st.text(alphabet=st.sampled_from(list("ab .!?\n1:")), max_size=40) | st.lists(
    st.sampled_from(
        [
            "Step 1: evidence\n",
            "Step 2: tastes\n",
            "The user buys soap. ",
            "It is red! ",
            "\n\n",
            "3.5 € a piece. ",
        ]
    ),
    max_size=8,
).map("".join)
"""Reasoning texts, well formed and not."""
