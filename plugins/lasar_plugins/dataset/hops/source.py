"""The generated questions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.sources.items import ItemText, item_table
from lasar_kit.core.values import Env
from lasar_plugins.dataset.hops.config import HopsConfig
from lasar_plugins.dataset.hops.ring import next_nodes, node_title, sid, way

TRAIN, VALIDATION, TEST = (2, 2), (1, 2), (1, 1)
"""Where the validation and the test part of a sequence of question and answer begin."""


class HopsSource:
    """A user a question; the user's id is `s+k`, and an item's raw id is its semantic ID."""

    def __init__(self, config: HopsConfig, env: Env) -> None:
        self.config = config

    def files(self) -> Sequence[Path]:
        return []

    def load(self) -> Dataset:
        """Nodes are the first items of the table; behind them each node's questions, by number of hops."""
        config, follows = self.config, next_nodes(self.config)
        text = {sid(node): ItemText(title=node_title(node)) for node in range(config.nodes)}
        users, rows = [], []
        for start in range(config.nodes):
            for hops, answer in enumerate(way(follows, start, config.hops), start=1):
                users.append(f"{start}+{hops}")
                rows.append([len(text), answer])
                text[sid(start, hops)] = ItemText(title=f"{hops} hops from node {start}")
        return Dataset(tuple(users), item_table(list(text), text), Sequences.of(rows), self._cuts(len(users)))

    def _cuts(self, questions: int) -> np.ndarray:
        """The part that each question belongs to, drawn by the seed."""
        order = list(range(questions))
        random.Random(f"held out {self.config.seed}").shuffle(order)
        held_out = max(2, round(self.config.held_out * questions))
        cuts = np.tile(np.array(TRAIN), (questions, 1))
        cuts[order[: held_out // 2]] = VALIDATION
        cuts[order[held_out // 2 : held_out]] = TEST
        return cuts
