"""Recommends items for one history, from a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from accelerate import PartialState
from rich import box
from rich.table import Table

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.engine import stored_dataset
from lasar_kit.engine.artifacts import Artifact
from lasar_kit.engine.console import Screen, quiet_libraries
from lasar_kit.engine.output import LOCK, reading_run
from lasar_kit.engine.ranking import Ranking, with_sharers
from lasar_kit.engine.recommender import Recommender
from lasar_kit.engine.runner import MODEL
from lasar_kit.engine.sids import Sids
from lasar_kit.errors import UserError, nearest
from lasar_kit.spec.load import load_spec

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.load import LoadedSpec
    from lasar_kit.spec.plan import PlannedStage


def recommend(run: Path, history: list[str], k: int, catalogue: Catalogue) -> None:
    """Print the k best items behind a history of raw item ids, oldest first, with titles and scores."""
    if not (run / LOCK).is_file():
        raise UserError(f"{run}: is not the folder of a run, it holds no {LOCK}")
    quiet_libraries()
    loaded = load_spec(run / LOCK, [], catalogue)
    checkpoint = _last_checkpoint(run, loaded)
    with reading_run(run):
        dataset = stored_dataset.load(_artifact(run, "dataset"))
    rows = _rows(history, dataset)
    with reading_run(run):
        sids = Sids.load(_artifact(run, checkpoint.inputs["sids"]))
        env = Env(seed=loaded.spec.seed, device=str(PartialState().device))
        recommender = Recommender.load(run / MODEL, catalogue, loaded.spec.decoder, sids, env).eval()
    width = max(k, loaded.spec.decoder.width)
    beams, depth = recommender.recommend(recommender.prompts.prompts([rows]), width)
    ranking = with_sharers(
        Ranking(beams.items[:, 0].cpu().numpy(), beams.logp[:, 0].cpu().numpy(), depth[:, 0].cpu().numpy()),
        recommender.prompts.table,
    )
    Screen().print(_table(ranking, dataset, k))


def _last_checkpoint(run: Path, loaded: LoadedSpec) -> PlannedStage:
    stages = [stage for stage in loaded.plan if type(stage.config).produces == "checkpoint"]
    if not stages:
        raise UserError(f"{run}: this run trains no model")
    return stages[-1]


def _artifact(run: Path, name: str) -> Path:
    path = run / "stages" / name
    if Artifact.read(path) is None:
        raise UserError(f"{run}: the stage {name!r} is not finished; run the spec again")
    return path


def _rows(history: list[str], dataset: Dataset) -> np.ndarray:
    """Rows of raw ids in the item table; all unknown ones are reported."""
    row = {item: index for index, item in enumerate(dataset.items["id"])}
    unknown = [item for item in history if item not in row]
    if unknown:
        raise UserError(*(f"--history: no item {item!r} in this run; {_hint(item, row)}" for item in unknown))
    return np.array([row[item] for item in history], dtype=np.int64)


def _hint(item: str, known: dict[str, int]) -> str:
    hint = nearest(item, known)
    return hint if hint.startswith("did") else f"ids look like {next(iter(known))!r}"


def _table(ranking: Ranking, dataset: Dataset, k: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("rank", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title")
    table.add_column("log-probability", justify="right")
    titles = dataset.items["title"]
    shown = [
        (item, score) for item, score in zip(ranking.items[0], ranking.scores[0], strict=True) if item >= 0
    ]
    for rank, (item, score) in enumerate(shown[:k], start=1):
        table.add_row(str(rank), dataset.items["id"][int(item)], titles[int(item)], f"{score:.3f}")
    return table
