"""A ranker as a distribution over the catalogue behind each history, summed up the trie.

Shape letters as in `lasar_kit.core.values`, and U histories, n nodes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Ranker
from lasar_kit.core.lesson import moved
from lasar_kit.core.shares import probabilities
from lasar_kit.core.trie import Trie
from lasar_kit.core.values import SidTable
from lasar_kit.spec import Normalise

ROWS = 512
"""Histories whose scores of the whole catalogue are held at once."""


class ItemPrior:
    """A fitted ranker's probabilities of items, and of all prefixes of their SIDs."""

    def __init__(self, ranker: Ranker, normalise: Normalise | None, otherwise: Normalise = "sum") -> None:
        self.ranker, self.normalise, self.otherwise = ranker, normalise, otherwise
        self.latest: tuple[Tensor, list[Tensor]] | None = None
        self._leaf_of: dict[tuple[int, ...], int] | None = None
        self.fitted, self.later = 0, 0
        """Items of the catalogue that was bound first, which the ranker scores; those that came after."""

    def bind(self, table: SidTable, trie: Trie) -> None:
        """Learn where the nodes of each level lie, in place of a catalogue bound before."""
        self._place(table, trie)
        self.fitted, self.later = len(table.tokens), 0

    def extend(self, table: SidTable, trie: Trie) -> None:
        """Let the nodes hold more items, behind those that the ranker scores."""
        self._place(table, trie)
        self.later = len(table.tokens) - self.fitted

    def _place(self, table: SidTable, trie: Trie) -> None:
        self.latest = self._leaf_of = None
        self.table = table
        place = trie.place.cpu().numpy()
        self.order = np.empty(len(place), dtype=np.int64)
        self.order[place] = np.arange(len(place))
        starts = [span[0].cpu().numpy() for span in trie.span]
        self.rank = [_ranks(start) for start in starts]
        begins = [np.sort(start, kind="stable") for start in starts]
        self.leaves = begins[-1]
        self.inner = [np.searchsorted(self.leaves, begin) for begin in begins[:-1]]

    @property
    def leaf(self) -> dict[tuple[int, ...], int]:
        """The leaf of each SID, in the order of SIDs."""
        if self._leaf_of is None:
            rows = self.table.tokens.cpu().numpy()[self.order][self.leaves].tolist()
            self._leaf_of = {tuple(row): leaf for leaf, row in enumerate(rows)}
        return self._leaf_of

    def __deepcopy__(self, memo: object) -> ItemPrior:
        """Share it with copies of the decoder: nothing of it is trained, and it may be a whole model."""
        return self

    def log_masses(self, shown: Int[Tensor, "B R H"]) -> list[Float[Tensor, "B R n"]]:
        """Return the logarithms of `masses` behind the items that prompts show, -1 past the end, in float32,
        with nodes numbered as those of the trie.

        Asked about the same tensor once more, as by searches behind one trace, it gives the same.
        """
        if self.latest is None or self.latest[0] is not shown:
            rows = shown.flatten(0, 1).cpu().numpy()
            masses = self.masses([row[row >= 0] for row in rows])
            numbered = (
                mass if rank is None else mass[:, rank] for mass, rank in zip(masses, self.rank, strict=True)
            )
            logs = [moved(torch.from_numpy(mass).float(), shown.device).log() for mass in numbered]
            self.latest = shown, [log.view(*shown.shape[:2], -1) for log in logs]
        return self.latest[1]

    def masses(self, histories: Sequence[Int[np.ndarray, " H"]]) -> list[Float[np.ndarray, "U n"]]:
        """For each level the probability of every node's items together; each level's add up to that of all
        that the ranker lists, 1 at most.

        Nodes are in the order of their prefixes.
        """
        leaves = self._leaves(histories)
        return [*(_sums(leaves, begins) for begins in self.inner), leaves]

    def of_items(
        self, histories: Sequence[Int[np.ndarray, " H"]], tokens: Int[np.ndarray, "U M"]
    ) -> Float[np.ndarray, " U"]:
        """Return the probability of one item behind each history, given by its tokens."""
        found = np.zeros(len(histories))
        for start in range(0, len(histories), ROWS):
            part = slice(start, start + ROWS)
            leaf = np.array([self.leaf[tuple(row)] for row in tokens[part].tolist()])
            found[part] = self._leaves(histories[part])[np.arange(len(leaf)), leaf]
        return found

    def _leaves(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U n"]:
        """Return the probabilities of all SIDs, in their order."""
        known = [history[history < self.fitted] for history in histories] if self.later else histories
        shares = probabilities(self.ranker, self.ranker.score(known), self.normalise, self.otherwise)
        if self.later:
            shares = np.pad(shares, ((0, 0), (0, self.later)))
        ordered = np.array_equal(self.order, np.arange(len(self.order)))
        return _sums(shares if ordered else shares[:, self.order], self.leaves)


def _ranks(start: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"] | None:
    """Of each node how many stand before it; None where they are numbered so."""
    if (start[1:] > start[:-1]).all():
        return None
    rank = np.empty(len(start), dtype=np.int64)
    rank[start.argsort(kind="stable")] = np.arange(len(start))
    return rank


def _sums(values: Float[np.ndarray, "U n"], begins: Int[np.ndarray, " k"]) -> Float[np.ndarray, "U k"]:
    """Return the sums of consecutive columns, of which each part begins at one of `begins`."""
    if len(begins) == values.shape[1]:
        return values
    summed: Float[np.ndarray, "U k"] = np.add.reduceat(values, begins, axis=1)
    return summed
