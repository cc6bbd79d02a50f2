"""A ranker as a distribution over the catalogue behind each history, summed up the trie.

Shape letters as in `lasar_kit.core.values`, and U histories, n nodes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from lasar_kit.core.interfaces import Ranker
from lasar_kit.core.trie import prefixes
from lasar_kit.core.values import SidTable

ROWS = 512
"""Histories whose scores of the whole catalogue are held at once."""

Normalise = Literal["sum", "softmax"]
"""`sum` divides scores by their sum, those below 0 being 0; `softmax` their exponentials."""


class ItemPrior:
    """A fitted ranker's probabilities of items, and of all prefixes of their SIDs."""

    def __init__(self, ranker: Ranker, normalise: Normalise) -> None:
        self.ranker, self.normalise = ranker, normalise

    def bind(self, table: SidTable) -> None:
        """Learn where the nodes of each level lie, in place of a catalogue bound before."""
        self.order, firsts = prefixes(table.tokens.cpu().numpy())
        self.begins = [np.flatnonzero(first) for first in firsts]
        leaves = table.tokens.cpu().numpy()[self.order][self.begins[-1]]
        self.leaf = {tuple(tokens): leaf for leaf, tokens in enumerate(leaves.tolist())}

    def masses(self, histories: Sequence[Int[np.ndarray, " H"]]) -> list[Float[np.ndarray, "U n"]]:
        """For each level the probability of every node's items together; each level's add up to 1.

        Nodes are numbered as those of `lasar_kit.core.trie.Trie`.
        """
        shares = self._shares(histories)
        return [np.add.reduceat(shares, begins, axis=1) for begins in self.begins]

    def of_items(
        self, histories: Sequence[Int[np.ndarray, " H"]], tokens: Int[np.ndarray, "U M"]
    ) -> Float[np.ndarray, " U"]:
        """Return the probability of one item behind each history, given by its tokens."""
        found = np.zeros(len(histories))
        for start in range(0, len(histories), ROWS):
            part = slice(start, start + ROWS)
            leaf = np.array([self.leaf[tuple(row)] for row in tokens[part].tolist()])
            masses = np.add.reduceat(self._shares(histories[part]), self.begins[-1], axis=1)
            found[part] = masses[np.arange(len(leaf)), leaf]
        return found

    def _shares(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """Return the items' probabilities, in the order of the trie."""
        return distribution(self.ranker.score(histories), self.normalise)[:, self.order]


def distribution(scores: Float[np.ndarray, "U I"], normalise: Normalise) -> Float[np.ndarray, "U I"]:
    """Scores, -inf for what is not listed, as probabilities; uniform where nothing is left to divide."""
    if normalise == "softmax":
        best = scores.max(1, keepdims=True)
        shares = np.exp(scores - np.where(np.isfinite(best), best, 0.0))
    else:
        shares = np.maximum(scores, 0.0)
    total = shares.sum(1, keepdims=True)
    divided: Float[np.ndarray, "U I"] = shares / np.where(total > 0, total, 1.0)
    return np.where(total > 0, divided, 1.0 / scores.shape[1])
