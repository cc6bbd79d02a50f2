"""The items of a finished run: their texts and semantic IDs, those that came later included."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import sid_token
from lasar_kit.data import stored_dataset
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError, nearest
from lasar_kit.spec.load import load_spec
from lasar_kit.store.artifacts import Artifact
from lasar_kit.store.layout import LOCK, MODEL
from lasar_kit.store.run_folder import check_run, reading_run

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import StageConfig
    from lasar_kit.spec.load import LoadedSpec
    from lasar_kit.spec.plan import PlannedStage

MOST_CHUNKS = 64
"""Pieces that the item table may lie in before it is made one again."""


@dataclass(frozen=True)
class Recommended:
    """An item: its raw id, its title, and its log-probability behind the history."""

    item: str
    title: str
    score: float


@dataclass(frozen=True)
class Origin:
    """The run that items were read from: its spec, the stage that gave them their semantic IDs, and what this
    left."""

    run: Path
    loaded: LoadedSpec
    stage: StageConfig
    sids: Path
    env: Env


class Stock:
    """The items of a run, by row and by raw id.

    Items that come later are rows behind those that there are; no row is ever another item's.
    """

    def __init__(self, dataset: Dataset, sids: Sids, origin: Origin | None = None) -> None:
        self.dataset, self.sids, self.origin = dataset, sids, origin
        self._ids: list[str] = dataset.items["id"].to_list()
        self._titles: list[str] = dataset.items["title"].to_list()
        self.row_of = {item: row for row, item in enumerate(self._ids)}
        """Rows of the item table by raw id."""
        self.withdrawn: Int[np.ndarray, " n"] = np.zeros(0, dtype=np.int64)
        """Rows of items that are listed no more."""

    @classmethod
    def read(cls, run: Path, catalogue: Catalogue) -> Stock:
        """The items that the last model of a run was trained among, without the model; `UserError` as of
        `LoadedRun.load`."""
        origin = find(run, catalogue)
        with reading_run(run):
            return Stock(*of_origin(origin), origin)

    @property
    def digest(self) -> str:
        """Tells these items and their semantic IDs from others."""
        found = hashlib.sha256("\n".join(self._ids).encode())
        found.update(self.sids.codes.to(torch.int64).numpy().tobytes())
        return found.hexdigest()[:32]

    def named(self, items: Int[np.ndarray, " n"], scores: Float[np.ndarray, " n"]) -> list[Recommended]:
        """A list of rows, -1 for none, with ids and titles."""
        pairs = zip(items.tolist(), scores.tolist(), strict=True)
        return [Recommended(self._ids[item], self._titles[item], score) for item, score in pairs if item >= 0]

    def sid(self, row: int) -> list[str]:
        """The tokens of an item's semantic ID."""
        return [sid_token(level, code) for level, code in enumerate(self.sids.codes[row].tolist())]

    def rows(self, history: Sequence[str]) -> Int[np.ndarray, " L"]:
        """Rows of raw ids in the item table; all unknown ones are reported."""
        unknown = [item for item in history if item not in self.row_of]
        if unknown:
            raise UserError(*(f"no item {item!r} in this run; {self._hint(item)}" for item in unknown))
        return np.array([self.row_of[item] for item in history], dtype=np.int64)

    def grow(self, items: pl.DataFrame, codes: Int[Tensor, "n M"]) -> None:
        """Take in items, behind those that there are; the last thing that is known of them is their ids."""
        whole = pl.concat([self.dataset.items, items])
        self.dataset = replace(
            self.dataset, items=whole.rechunk() if whole.n_chunks() > MOST_CHUNKS else whole
        )
        self.sids = replace(self.sids, codes=torch.cat([self.sids.codes, codes.to(self.sids.codes)]))
        ids, start = items["id"].to_list(), len(self._ids)
        self._ids += ids
        self._titles += items["title"].to_list()
        self.row_of.update(zip(ids, range(start, start + len(ids)), strict=True))

    def withdraw(self, ids: Sequence[str]) -> None:
        """List these, of which each is there, no more, and no others but these."""
        self.withdrawn = np.array([self.row_of[item] for item in ids], dtype=np.int64)

    def _hint(self, item: str) -> str:
        if not isinstance(item, str):
            return f"ids are texts, such as {self._ids[0]!r}"
        hint = nearest(item, self.row_of)
        return hint if hint.startswith("did") else f"ids look like {self._ids[0]!r}"


def find(run: Path, catalogue: Catalogue) -> Origin:
    """Where a run has its last model's items. `UserError` where the folder holds no finished model."""
    check_run(run)
    loaded = load_spec(run / LOCK, [], catalogue)
    sids = _last_checkpoint(run, loaded).inputs["sids"]
    if not (run / MODEL).is_dir():
        raise UserError(f"{run}: the run is not finished, it holds no {MODEL}/; run the spec again")
    stages = {stage.name: stage.config for stage in loaded.plan}
    env = Env(seed=loaded.spec.seed, catalogue=catalogue)
    return Origin(run, loaded, stages[sids], artifact(run, sids), env)


def of_origin(origin: Origin) -> tuple[Dataset, Sids]:
    """Read the items."""
    return stored_dataset.load(artifact(origin.run, "dataset")), Sids.load(origin.sids)


def artifact(run: Path, name: str) -> Path:
    """The folder of a stage; `UserError` where it is not finished."""
    path = run / "stages" / name
    if Artifact.read(path) is None:
        raise UserError(f"{run}: the stage {name!r} is not finished; run the spec again")
    return path


def _last_checkpoint(run: Path, loaded: LoadedSpec) -> PlannedStage:
    stages = [stage for stage in loaded.plan if type(stage.config).produces == "checkpoint"]
    if not stages:
        raise UserError(f"{run}: this run trains no model")
    return stages[-1]
