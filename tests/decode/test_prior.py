"""A ranker's scores as probabilities of items, and of the nodes of a trie above them."""

from __future__ import annotations

import numpy as np
import torch

from lasar_kit.core.trie import Trie
from lasar_kit.core.values import SidTable
from lasar_plugins.decoder.trie.prior import ItemPrior
from tests.decode.scored import Scored


def test_masses_of_a_level_are_sums_of_its_items() -> None:
    prior = ItemPrior(Scored([[1.0, 2.0, 3.0, 4.0, 0.0]]), "sum")
    table = SidTable(torch.tensor([[7, 2], [3, 9], [7, 1], [3, 9], [5, 5]]))
    prior.bind(table, Trie.of(table, 256, "cpu"))
    first, second = prior.masses([np.array([0])])
    # Nodes in the order of their tokens: 3, 5, 7; then 39, 55, 71, 72.
    np.testing.assert_allclose(first, [[0.6, 0.0, 0.4]])
    np.testing.assert_allclose(second, [[0.6, 0.0, 0.3, 0.1]])
