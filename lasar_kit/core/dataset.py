"""A data set: items with their text, and each user's items in order of time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from lasar_kit.core.reading import Reading

ITEM_COLUMNS = ("id", "title", "brand", "categories", "description", "price", "features")
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
        """Items of each user."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, rows: list[list[int]]) -> Sequences:
        """From one list of item rows a user."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = [item for row in rows for item in row]
        return cls(np.concatenate([[0], lengths.cumsum()]), np.array(flat, dtype=np.int32))

    def of_users(self, kept: Bool[np.ndarray, " U"]) -> Sequences:
        """Return the sequences of some users."""
        lengths = self.lengths[kept]
        return Sequences(np.concatenate([[0], lengths.cumsum()]), self.items[np.repeat(kept, self.lengths)])

    def first(self, keep: Int[np.ndarray, " U"]) -> Sequences:
        """The first `keep[u]` items of each user, of whom there must be as many."""
        index = np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.lengths)
        kept = self.items[index < np.repeat(keep, self.lengths)]
        return Sequences(np.concatenate([[0], keep.cumsum()]), kept)


@dataclass(frozen=True)
class Dataset:
    """A data set as a data source loads it.

    `users` are raw user ids, row u of `sequences` belonging to `users[u]`; `items` has the columns
    `ITEM_COLUMNS`, raw item ids under `id`.

    `cuts[u]` says where in user u's sequence the validation and the test part begin; a part ends where the
    next one begins, and may be empty. Without cuts it is leave-one-out (method: last item test, the one
    before it validation).

    `reading` is for the description of the data set alone, and is not stored with it.
    """

    users: tuple[str, ...]
    items: pl.DataFrame
    sequences: Sequences
    cuts: Int[np.ndarray, "U 2"] | None = None
    reading: Reading = field(default_factory=Reading, compare=False, repr=False)

    @property
    def parts(self) -> Int[np.ndarray, "U 2"]:
        """Where each user's validation and test part begin, leave-one-out included."""
        if self.cuts is not None:
            return self.cuts
        last_two: Int[np.ndarray, "U 2"] = np.maximum(self.sequences.lengths[:, None] - np.array([2, 1]), 0)
        return last_two

    @property
    def train(self) -> Sequences:
        """The training part of every sequence: what stands before its validation part."""
        return self.sequences.first(self.parts[:, 0])
