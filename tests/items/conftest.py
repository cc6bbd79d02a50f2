"""Small catalogues."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from lasar_kit.core.dataset import ITEM_COLUMNS


@pytest.fixture(scope="session")
def catalogue() -> Callable[..., pl.DataFrame]:
    """`catalogue(title=[…], brand=[…])` is an item table with ids "0", "1", …; other fields are empty."""

    def build(**columns: list[str]) -> pl.DataFrame:
        count = max((len(values) for values in columns.values()), default=0)
        ids = {"id": [str(item) for item in range(count)]}
        empty = {name: [""] * count for name in ITEM_COLUMNS}
        return pl.DataFrame(empty | ids | columns, schema=dict.fromkeys(ITEM_COLUMNS, pl.String))

    return build
