"""The data set as an artifact: two parquet files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from lasar_kit.core.dataset import Dataset, Sequences

CUTS = ("validation", "test")
"""Columns that say where these parts of a user's sequence begin."""


def save(dataset: Dataset, folder: Path) -> None:
    """Write `items.parquet` (a row an item) and `users.parquet` (a row a user, item rows oldest first, and
    its cuts where the data set has any)."""
    dataset.items.write_parquet(folder / "items.parquet")
    offsets = dataset.sequences.offsets
    rows = [dataset.sequences.items[a:b].tolist() for a, b in pairwise(offsets)]
    table = pl.DataFrame(
        {"id": list(dataset.users), "items": rows}, schema={"id": pl.String, "items": pl.List(pl.Int32)}
    )
    if dataset.cuts is not None:
        table = table.with_columns(pl.Series(name, dataset.cuts[:, n]) for n, name in enumerate(CUTS))
    table.write_parquet(folder / "users.parquet")


def load(folder: Path) -> Dataset:
    """Read what `save` wrote."""
    users = pl.read_parquet(folder / "users.parquet", glob=False)  # a folder may be called `run[1]`
    lengths = users["items"].list.len().to_numpy().astype(np.int64)
    flat = users["items"].explode(empty_as_null=False).to_numpy().astype(np.int32)
    return Dataset(
        users=tuple(users["id"]),
        items=pl.read_parquet(folder / "items.parquet", glob=False),
        sequences=Sequences(np.concatenate([[0], lengths.cumsum()]), flat),
        cuts=users.select(CUTS).to_numpy().astype(np.int64) if CUTS[0] in users.columns else None,
    )
