"""The data set as an artifact: two parquet files."""

from __future__ import annotations

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
    table = pl.DataFrame(
        {"id": pl.Series(dataset.users, dtype=pl.String), "items": _lists(dataset.sequences)}
    )
    if dataset.cuts is not None:
        table = table.with_columns(pl.Series(name, dataset.cuts[:, n]) for n, name in enumerate(CUTS))
    table.write_parquet(folder / "users.parquet")


def _lists(sequences: Sequences) -> pl.Series:
    """Each user's items as a list, the empty one where there are none."""
    user = np.repeat(np.arange(len(sequences), dtype=np.int32), sequences.lengths)
    flat = pl.DataFrame({"user": user, "items": sequences.items.astype(np.int32, copy=False)})
    lists = flat.with_columns(pl.col("user").set_sorted()).group_by("user", maintain_order=True).agg("items")
    if len(lists) < len(sequences):
        every = pl.DataFrame({"user": np.arange(len(sequences), dtype=np.int32)})
        lists = every.join(lists, on="user", how="left", maintain_order="left")
    return lists["items"].fill_null([])


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
