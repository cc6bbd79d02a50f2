"""A data set, a text encoder and a quantizer, each in its plainest form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset, Sequences
from lasar_kit.core.values import Env


class TinySource:
    """Three users and four items, of which one has no text."""

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def files(self) -> Sequence[Path]:
        """None: the data stand here."""
        return []

    def load(self) -> Dataset:
        """The data set."""
        columns = {name: ["", "", "", ""] for name in ITEM_COLUMNS}
        named = columns | {"id": ["a", "b", "c", "d"], "title": ["Red polish", "", "Shampoo", "Soap"]}
        items = pl.DataFrame(named, schema=dict.fromkeys(ITEM_COLUMNS, pl.String))
        return Dataset(("u", "v", "w"), items, Sequences.of([[0, 1, 2], [3, 0, 1, 2], [1, 1, 3, 0]]))


class TinyEncoder:
    """How often each of four letters stands in a title, and how long it is."""

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """Five numbers an item."""
        rows = [[*(title.count(letter) for letter in "aeio"), len(title)] for title in items["title"]]
        return np.array(rows, dtype=np.float32).reshape(len(items), 5)

    embeds_later = True

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "n E"]:
        """Nothing is fitted."""
        return TinyEncoder.encode(self, items, Sequences.of([]))

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing."""


class TinyQuantizer:
    """Two levels of four codes: nothing, and what three items leave over that leave most."""

    sizes: tuple[int, ...] = (4, 4)

    def __init__(self, config: Any, env: Env) -> None:
        self.books: list[Float[Tensor, "K E"]] = []

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Take the longest residuals; the zero code keeps the error from growing."""
        residual, self.books = items.detach().float(), []
        for size in self.sizes:
            book = torch.zeros(size, items.shape[1])
            longest = residual.norm(dim=1).argsort(descending=True, stable=True)
            some = residual[longest[: size - 1]]
            book[1 : 1 + len(some)] = some
            self.books.append(book)
            residual = residual - book[self.nearest(residual, book)]

    def nearest(self, rows: Float[Tensor, "I E"], book: Float[Tensor, "K E"]) -> Int[Tensor, " I"]:
        """The code whose vector is nearest to each row."""
        return (rows[:, None].double() - book.double()).square().sum(-1).argmin(1)

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """Level by level, what the levels before left over."""
        residual, codes = items.detach().float(), []
        for book in self.books:
            codes.append(self.nearest(residual, book))
            residual = residual - book[codes[-1]]
        return torch.stack(codes, dim=1)

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """The sum of the codes' vectors."""
        parts = [book[column] for book, column in zip(self.books, codes.T, strict=False)]
        return torch.stack(parts).sum(0)

    def state_dict(self) -> dict[str, Tensor]:
        """The codebooks."""
        return {f"book.{level}": book for level, book in enumerate(self.books)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The codebooks of another."""
        self.books = [state[f"book.{level}"] for level in range(len(self.sizes))]
