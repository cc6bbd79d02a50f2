"""The clusters of a catalogue at each level of its semantic IDs."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.values import SidTable


class Clusters:
    """Numbers the items that share the first m codes, or the m-th one, at each of M levels.

    `of_items[m]` is the cluster of each item at level m.
    """

    def __init__(self, table: SidTable, rule: str, device: str) -> None:
        self.by_prefix = rule == "prefix"
        self.tokens = [column.unique().to(device) for column in table.tokens.T]
        self.prefixes: list[Int[Tensor, " n"]] = []
        items = table.tokens.to(device)
        node = torch.zeros_like(items[:, 0])
        for level in range(items.shape[1]):
            keys = self._keys(node, items, level)
            self.prefixes.append(torch.unique(keys))
            node = torch.searchsorted(self.prefixes[-1], keys)
        self.of_items = self.of(items)

    def of(self, tokens: Int[Tensor, "n M"]) -> list[Int[Tensor, " n"]]:
        """The clusters of answers, level by level; of one that is no item, some cluster."""
        if not self.by_prefix:
            return [self._rank(tokens, level) for level in range(tokens.shape[1])]
        return self._nodes(tokens)

    def leaf(self, tokens: Int[Tensor, "n M"]) -> Int[Tensor, " n"]:
        """The number of each answer among all SIDs, ascending."""
        return self._nodes(tokens)[-1]

    def _nodes(self, tokens: Int[Tensor, "n M"]) -> list[Int[Tensor, " n"]]:
        found: list[Int[Tensor, " n"]] = []
        node = torch.zeros_like(tokens[:, 0])
        for level, prefixes in enumerate(self.prefixes):
            keys = self._keys(node, tokens, level)
            node = torch.searchsorted(prefixes, keys).clamp(max=len(prefixes) - 1)
            found.append(node)
        return found

    def _keys(self, node: Int[Tensor, " n"], tokens: Int[Tensor, "n M"], level: int) -> Int[Tensor, " n"]:
        """A node's children's numbers, as far apart as no two of them are alike."""
        return node * len(self.tokens[level]) + self._rank(tokens, level)

    def _rank(self, tokens: Int[Tensor, "n M"], level: int) -> Int[Tensor, " n"]:
        known = self.tokens[level]
        return torch.searchsorted(known, tokens[:, level].contiguous()).clamp(max=len(known) - 1)


def means(vectors: Float[Tensor, "I E"], cluster: Int[Tensor, " I"]) -> Float[Tensor, "K E"]:
    """The mean of each cluster's vectors."""
    count = int(cluster.max()) + 1
    total = torch.zeros(count, vectors.shape[1]).index_add_(0, cluster, vectors)
    return total / cluster.bincount(minlength=count)[:, None]
