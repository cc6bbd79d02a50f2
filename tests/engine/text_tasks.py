"""A small shop, and the tasks that relate its items' texts with their SIDs."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset, Sequences
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.recommender import Recommender
from lasar_plugins.sft_objective.text import tasks
from lasar_plugins.sft_objective.text.config import SidTaskConfig
from lasar_plugins.sft_objective.text.rows import Row
from lasar_plugins.sft_objective.text.tasks import SidTask

TASKS = (tasks.TextToSid, tasks.SidToText, tasks.HistoryToTitle, tasks.TitlesToSid)


def shop(titles: Sequence[str], paths: Sequence[Sequence[int]]) -> Dataset:
    columns = {name: [""] * len(titles) for name in ITEM_COLUMNS}
    columns["id"] = [str(n) for n in range(len(titles))]
    columns["title"] = list(titles)
    columns["brand"] = ["Ann" if n % 3 == 0 else "" for n in range(len(titles))]
    users = tuple(str(n) for n in range(len(paths)))
    return Dataset(users, pl.DataFrame(columns), Sequences.of([list(path) for path in paths]))


def surroundings(recommender: Recommender, sids: Sids, dataset: Dataset, seed: int = 0) -> Env:
    tokenizer = recommender.backbone.tokenizer
    return Env(
        seed=seed,
        tokenizer=tokenizer,
        vocabulary=sids.vocabulary,
        items=dataset.items,
        train=dataset.train,
        max_history=6,
        table=sids.table(tokenizer),
    )


def tasks_of(
    recommender: Recommender, sids: Sids, dataset: Dataset, seed: int = 0, **options: object
) -> list[SidTask]:
    env = surroundings(recommender, sids, dataset, seed)
    made = []
    for task in TASKS:
        config = SidTaskConfig.model_validate({"use": task.frame, **options})
        made.append(task(config, env))
    return made


def all_rows(task: SidTask) -> list[Row]:
    return [task.row(n) for n in range(task.size)]


def prompt(row: Row) -> list[int]:
    return row.ids[: len(row.ids) - row.answer].tolist()


def answer(row: Row) -> list[int]:
    return row.ids[len(row.ids) - row.answer :].tolist()
