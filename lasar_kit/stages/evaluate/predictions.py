"""Ranked lists, a line of JSON a user, and where what stands beside put the targets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.places import Places
from lasar_kit.data.held_out import HeldOut
from lasar_kit.model.ranking import Ranking


def write_predictions(
    path: Path,
    dataset: Dataset,
    held_out: HeldOut,
    ranking: Ranking,
    places: Mapping[str, Places],
    headline: str,
    keep: int,
) -> None:
    """A line a user: raw ids of the target and of the first `keep` ranked items, their log-probabilities, the
    depth, and what was written first; the target's rank in the whole list, 0 for none, and how many items
    share its place, as the headline has it and under each protocol."""
    ids: Sequence[str] = dataset.items["id"].to_list()
    with path.open("w", encoding="utf-8") as file:
        for row, (user, target) in enumerate(zip(held_out.users, held_out.target, strict=True)):
            shown = _shown(ranking.items[row], keep)
            shared = {
                protocol: {"rank": int(found.rank[row]), "ties": int(found.ties[row])}
                for protocol, found in places.items()
            }
            line = {
                "user": dataset.users[user],
                "target": ids[target],
                **shared[headline],
                "items": [ids[item] for item in ranking.items[row, shown]],
                "scores": [round(float(score), 6) for score in ranking.scores[row, shown]],
                "depth": int(ranking.depth[row]),
                **shared,
                **({} if ranking.texts is None else {"written": ranking.texts[row]}),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _shown(items: Int[np.ndarray, " W"], keep: int) -> Int[np.ndarray, " k"]:
    return np.flatnonzero(items >= 0)[:keep]


def write_beside(path: Path, users: Sequence[str], beside: Mapping[str, Mapping[str, Places]]) -> None:
    """A row a user, in the order of the predictions: by protocol and ranker the target's rank and its ties,
    in columns `PROTOCOL/NAME/rank` and `…/ties`."""
    columns: dict[str, Sequence[str] | np.ndarray] = {"user": users}
    for protocol, rows in beside.items():
        for name, found in rows.items():
            columns[f"{protocol}/{name}/rank"] = found.rank.astype(np.int32)
            columns[f"{protocol}/{name}/ties"] = found.ties.astype(np.int32)
    pl.DataFrame(columns).write_parquet(path)
