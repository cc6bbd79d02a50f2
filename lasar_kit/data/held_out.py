"""The held-out items of users, and the histories they are asked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset
from lasar_kit.errors import UserError

Split = Literal["test", "validation"]


@dataclass(frozen=True)
class HeldOut:
    """`histories[n]` is all that precedes `target[n]` in the sequence of user `users[n]`."""

    users: Int[np.ndarray, " U"]
    histories: list[Int[np.ndarray, " H"]]
    target: Int[np.ndarray, " U"]

    @classmethod
    def of(cls, dataset: Dataset, split: Split, limit: int = 0, seed: int = 0) -> HeldOut:
        """The first item of each user's test or validation part, users without one left out; of `limit` users
        by the seed, 0 for all. `UserError` where nobody has one."""
        starts = np.column_stack([dataset.parts, dataset.sequences.lengths])
        part = 1 if split == "test" else 0
        users = np.flatnonzero(starts[:, part] < starts[:, part + 1])
        if not len(users):
            raise UserError(f"dataset: no user has a {split} item")
        if 0 < limit < len(users):
            users = np.sort(np.random.default_rng(seed).choice(users, limit, replace=False))
        places = starts[users, part].tolist()
        rows = [dataset.sequences[user] for user in users.tolist()]
        return cls(
            users,
            [row[:place] for row, place in zip(rows, places, strict=True)],
            np.array([row[place] for row, place in zip(rows, places, strict=True)]),
        )
