"""The generated data set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.sources.items import item_table
from lasar_kit.core.values import Env
from lasar_plugins.dataset.demo.config import DemoConfig
from lasar_plugins.dataset.demo.customers import history
from lasar_plugins.dataset.demo.shop import open_shop


class DemoSource:
    """The catalogue depends on `seed` and `items` alone, each customer on these and on her own number."""

    def __init__(self, config: DemoConfig, env: Env) -> None:
        self.config = config

    def files(self) -> Sequence[Path]:
        return []

    def load(self) -> Dataset:
        config = self.config
        shop = open_shop(config.items, random.Random(f"shop {config.seed}"))
        rows = [
            history(config, shop, random.Random(f"customer {config.seed} {user}"))
            for user in range(config.users)
        ]
        ids = [f"item-{row:05d}" for row in range(config.items)]
        users = tuple(f"customer-{user:06d}" for user in range(config.users))
        return Dataset(users, item_table(ids, dict(zip(ids, shop.items, strict=True))), Sequences.of(rows))
