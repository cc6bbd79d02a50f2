"""Data sets and text encoders that break their laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyEncoder, TinySource

BROKEN: Saboteurs = {}


@breaks(BROKEN, "dataset", "files_are_there")
class NamesNoFile(TinySource):
    """Names a file that is not there."""

    def files(self) -> Sequence[Path]:
        return [Path("no such file")]


@breaks(BROKEN, "dataset", "items_have_their_columns")
class LacksPrices(TinySource):
    """Leaves a column out."""

    def load(self) -> Dataset:
        data = super().load()
        return replace(data, items=data.items.drop("price"))


@breaks(BROKEN, "dataset", "sequences_hold_item_rows")
class CountsFromOne(TinySource):
    """Counts items from 1."""

    def load(self) -> Dataset:
        data = super().load()
        return replace(data, sequences=Sequences(data.sequences.offsets, data.sequences.items + 1))


@breaks(BROKEN, "dataset", "users_have_three_items")
class KeepsTheShort(TinySource):
    """Keeps a user of two items."""

    def load(self) -> Dataset:
        return replace(super().load(), sequences=Sequences.of([[0, 1, 2], [3, 0], [1, 1, 3, 0]]))


@breaks(BROKEN, "dataset", "cuts_are_in_order")
class TestsFirst(TinySource):
    """Lets the test part begin before the validation part."""

    def load(self) -> Dataset:
        return replace(super().load(), cuts=np.array([[1, 2], [3, 2], [2, 3]]))


@breaks(BROKEN, "text_encoder", "one_vector_an_item")
class Columns(TinyEncoder):
    """Gives a column an item."""

    def encode(self, items: Any, train: Sequences) -> Any:
        return super().encode(items, train).T


@breaks(BROKEN, "text_encoder", "order_of_items_does_not_matter")
class SortsByTitle(TinyEncoder):
    """Encodes items in the order of their titles, and leaves them so."""

    def encode(self, items: Any, train: Sequences) -> Any:
        return super().encode(items.sort("title", "id"), train)


@breaks(BROKEN, "text_encoder", "later_items_are_embedded_as_the_catalogue_is")
class CentresAnew(TinyEncoder):
    """Takes from each number the mean of those that it was given with, also of what comes later."""

    def encode(self, items: Any, train: Sequences) -> Any:
        vectors = super().encode(items, train)
        return vectors - vectors.mean(0)

    def embed(self, items: Any) -> Any:
        return self.encode(items, Sequences.of([]))


@breaks(BROKEN, "text_encoder", "vectors_are_finite")
class UnitLength(TinyEncoder):
    """Divides by the length of a vector, 0 or not."""

    def encode(self, items: Any, train: Sequences) -> Any:
        vectors = super().encode(items, train)
        with np.errstate(invalid="ignore"):
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
