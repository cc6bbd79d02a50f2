"""Items that are held out of training, as if they came after it: how far does a model know what to do with
an item that it has never seen?

The data set that all stages read has no trace of them. They are stored beside it, with the users whose
held-out item is one of them, as rows behind those of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.data.held_out import HeldOut, Split
from lasar_kit.errors import UserError, nearest, one_line
from lasar_kit.spec.held import Held

ITEMS, ASKED = "cold_items.parquet", "cold_users.parquet"


@dataclass(frozen=True)
class Cold:
    """Items held out of training, and the users whose item of a split is one of them.

    `asked[split]` has rows of the data set, -1 for a user that it has no more, and as items those of the data
    set with the cold ones behind them, which histories may hold too.
    """

    items: pl.DataFrame
    asked: dict[str, HeldOut]

    def save(self, folder: Path) -> None:
        """Write both into the artifact of the data set."""
        self.items.write_parquet(folder / ITEMS)
        rows: dict[str, list[Any]] = {"split": [], "user": [], "history": [], "target": []}
        for split, held in self.asked.items():
            rows["split"] += [split] * len(held.users)
            rows["user"] += held.users.tolist()
            rows["history"] += [history.tolist() for history in held.histories]
            rows["target"] += held.target.tolist()
        table = pl.DataFrame(
            [
                pl.Series("split", rows["split"], pl.String),
                pl.Series("user", rows["user"], pl.Int64),
                pl.Series("history", rows["history"], pl.List(pl.Int64)),
                pl.Series("target", rows["target"], pl.Int64),
            ]
        )
        table.write_parquet(folder / ASKED)

    @classmethod
    def load(cls, folder: Path) -> Cold | None:
        """Read what `save` wrote; None where nothing was held out."""
        if not (folder / ITEMS).is_file():
            return None
        table = pl.read_parquet(folder / ASKED, glob=False)
        asked = {}
        for split in ("validation", "test"):
            own = table.filter(split=split)
            histories = [np.array(row, dtype=np.int64) for row in own["history"].to_list()]
            asked[split] = HeldOut(own["user"].to_numpy(), histories, own["target"].to_numpy())
        return cls(pl.read_parquet(folder / ITEMS, glob=False), asked)


def hold_out(dataset: Dataset, held: Held, seed: int) -> tuple[Dataset, Cold]:
    """A data set without some items, and these. Users who bought nothing else are left out of it.

    `UserError` for ids that it does not have, and where nothing or nobody would be left.
    """
    cold = _chosen(dataset, held, seed)
    row = np.empty(len(cold), dtype=np.int64)
    row[np.concatenate([np.flatnonzero(~cold), np.flatnonzero(cold)])] = np.arange(len(cold))
    sequences, parts = dataset.sequences, dataset.parts
    stays = ~cold[sequences.items]
    before = np.concatenate([[0], stays.cumsum()])
    cuts = before[sequences.offsets[:-1, None] + parts] - before[sequences.offsets[:-1, None]]
    offsets = before[sequences.offsets]
    left = np.diff(offsets) > 0
    if not left.any():
        raise UserError("cold: nobody would be left who bought anything else")
    users = np.where(left, left.cumsum() - 1, -1)
    asked = {split: _asked(dataset, split, cold, row, users) for split in ("validation", "test")}
    warm = replace(
        dataset,
        users=tuple(name for name, kept in zip(dataset.users, left, strict=True) if kept),
        items=dataset.items.filter(pl.Series(~cold)),
        sequences=Sequences(offsets, row[sequences.items[stays]].astype(np.int32)).of_users(left),
        cuts=cuts[left],
        reading=dataset.reading.of_interactions(stays),
    )
    return warm, Cold(dataset.items.filter(pl.Series(cold)), asked)


def _chosen(dataset: Dataset, held: Held, seed: int) -> Bool[np.ndarray, " I"]:
    ids = dataset.items["id"].to_list()
    if not isinstance(held, tuple):
        order = np.random.default_rng(seed).permutation(len(ids))
        return order < max(1, round(held * len(ids)))
    known = set(ids)
    unknown = [name for name in held if name not in known]
    if unknown:
        raise UserError(
            *(f"cold: the data set has no item {one_line(name)!r}; {_near(name, ids)}" for name in unknown)
        )
    wanted = set(held)
    return np.array([name in wanted for name in ids], dtype=bool)


def _near(name: str, ids: list[str]) -> str:
    hint = nearest(name, ids)
    return hint if hint.startswith("did") else f"ids look like {ids[0]!r}"


def _asked(
    dataset: Dataset,
    split: Split,
    cold: Bool[np.ndarray, " I"],
    row: Int[np.ndarray, " I"],
    users: Int[np.ndarray, " U"],
) -> HeldOut:
    """Those of whom a cold item is asked."""
    try:
        whole = HeldOut.of(dataset, split)
    except UserError:  # nobody has a held-out item
        return HeldOut(users[:0], [], users[:0])
    chosen = np.flatnonzero(cold[whole.target])
    histories = [row[whole.histories[place]] for place in chosen]
    return HeldOut(users[whole.users[chosen]], histories, row[whole.target[chosen]])
