"""The held-out item of each user, and the history it is asked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset

Split = Literal["test", "validation"]


@dataclass(frozen=True)
class HeldOut:
    """`histories[n]` is all that precedes `target[n]` in the sequence of user `users[n]`."""

    users: Int[np.ndarray, " U"]
    histories: list[Int[np.ndarray, " H"]]
    target: Int[np.ndarray, " U"]

    @classmethod
    def of(cls, dataset: Dataset, split: Split, limit: int = 0, seed: int = 0) -> HeldOut:
        """Last items (test) or those before them (validation); of `limit` users by the seed, 0 for all."""
        count = len(dataset.users)
        users = np.arange(count)
        if 0 < limit < count:
            users = np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
        held = -1 if split == "test" else -2
        rows = [dataset.sequences[user] for user in users.tolist()]
        return cls(users, [row[:held] for row in rows], np.array([row[held] for row in rows]))
