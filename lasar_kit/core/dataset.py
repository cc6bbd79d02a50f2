"""A data set: items with their text, and each user's items in order of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int

ITEM_COLUMNS = ("id", "title", "brand", "categories", "description", "price")
"""Columns of an item table, all strings; an absent value is the empty string."""


@dataclass(frozen=True)
class Sequences:
    """Item sequences of U users, oldest first, in compressed rows.

    User u's items are `items[offsets[u]:offsets[u + 1]]`; an item is its row in the item table.
    """

    offsets: Int[np.ndarray, U + 1]
    items: Int[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int) -> Int[np.ndarray, " L"]:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    @property
    def lengths(self) -> Int[np.ndarray, " U"]:
        return np.diff(self.offsets)

    @classmethod
    def of(cls, rows: list[list[int]]) -> Sequences:
        """From one list of item rows a user."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = [item for row in rows for item in row]
        return cls(np.concatenate([[0], lengths.cumsum()]), np.array(flat, dtype=np.int32))

    def without_last(self, count: int) -> Sequences:
        """Every user's sequence less its last `count` items (shorter ones become empty)."""
        keep = np.maximum(self.lengths - count, 0)
        index = np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.lengths)
        kept = self.items[index < np.repeat(keep, self.lengths)]
        return Sequences(np.concatenate([[0], keep.cumsum()]), kept)


@dataclass(frozen=True)
class Dataset:
    """What a data source loads.

    `users` are raw user ids, row u of `sequences` belonging to `users[u]`; `items` has the columns
    `ITEM_COLUMNS`, raw item ids under `id`. Leave-one-out (method: last item test, the one before it
    validation) is read off the sequences: `train` is all but the last two items of each user.
    """

    users: tuple[str, ...]
    items: pl.DataFrame
    sequences: Sequences

    @property
    def train(self) -> Sequences:
        """The training part: every sequence less its validation and its test item."""
        return self.sequences.without_last(2)
