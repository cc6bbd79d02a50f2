"""The map, and the semantic IDs of nodes and of questions about it."""

from __future__ import annotations

import random

from lasar_kit.core.vocabulary import sid_token
from lasar_plugins.dataset.hops.config import MapConfig


def next_nodes(config: MapConfig) -> list[int]:
    """Where a hop from each node leads.

    One ring over all nodes: with fewer hops than nodes, no two depths give the same answer.
    """
    order = list(range(config.nodes))
    random.Random(f"ring {config.seed}").shuffle(order)
    follows = [0] * config.nodes
    for place, node in enumerate(order):
        follows[node] = order[(place + 1) % config.nodes]
    return follows


def way(follows: list[int], start: int, hops: int) -> list[int]:
    """The nodes after 1, 2, .. `hops` hops."""
    nodes = []
    for _ in range(hops):
        start = follows[start]
        nodes.append(start)
    return nodes


def sid(node: int, hops: int = 0) -> str:
    """The semantic ID of the question of so many hops from a node; of the node itself with 0.

    >>> sid(17, 3)
    '<a_17><b_3>'
    """
    return sid_token(0, node) + sid_token(1, hops)


def node_title(node: int) -> str:
    """Return the title of a node."""
    return f"node {node}"
