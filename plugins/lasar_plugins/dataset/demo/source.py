"""The generated data set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.sources.items import item_table
from lasar_kit.core.values import Env
from lasar_plugins.dataset.demo.config import DemoConfig
from lasar_plugins.dataset.demo.customers import history
from lasar_plugins.dataset.demo.projects import add_on_items, leaflet, project_history
from lasar_plugins.dataset.demo.shop import open_shop


class DemoSource:
    """The catalogue depends on `seed` and `items` alone (and on whether there are projects), each customer on
    these and on her own number."""

    def __init__(self, config: DemoConfig, env: Env) -> None:
        self.config = config

    def files(self) -> Sequence[Path]:
        return []

    def load(self) -> Dataset:
        """Add-ons, if any, are the last items of the table."""
        config = self.config
        add_ons = add_on_items(config.seed) if config.projects else []
        first_add_on = config.items - len(add_ons)
        shop = open_shop(first_add_on, random.Random(f"shop {config.seed}"))
        table = leaflet(config.seed)
        rows, cuts = [], []
        for user in range(config.users):
            rng = random.Random(f"customer {config.seed} {user}")
            if random.Random(f"project {config.seed} {user}").random() < config.projects:
                row, cut = project_history(shop, table, first_add_on, rng)
            else:
                row = history(config, shop, rng)
                cut = len(row) - 2, len(row) - 1
            rows.append(row)
            cuts.append(cut)
        ids = [f"item-{row:05d}" for row in range(config.items)]
        users = tuple(f"customer-{user:06d}" for user in range(config.users))
        items = item_table(ids, dict(zip(ids, [*shop.items, *add_ons], strict=True)))
        return Dataset(users, items, Sequences.of(rows), np.array(cuts) if config.projects else None)
