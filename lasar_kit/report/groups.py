"""Users in groups: by how long their history is, by how popular their target is, by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from lasar_kit.data import stored_dataset
from lasar_kit.data.held_out import HeldOut
from lasar_kit.report.answers import Answers
from lasar_kit.report.bootstrap import interval
from lasar_kit.report.grid import Column, Grid, Measured, Row

NOBODY = -1
"""The group of users who are in none."""


@dataclass(frozen=True)
class Grouping:
    """A way to tell users apart; `group[u]` is a place in `labels`, or `NOBODY`."""

    key: str
    title: str
    name: str
    labels: tuple[str, ...]
    group: Int[np.ndarray, " U"]

    @property
    def tells(self) -> bool:
        """Whether two groups or more have users."""
        return len(np.unique(self.group[self.group != NOBODY])) > 1

    def users(self, place: int) -> Int[np.ndarray, " u"]:
        """Of one group."""
        return np.flatnonzero(self.group == place)


def groupings(run: Path, split: Literal["test", "validation"], users: Sequence[str]) -> list[Grouping]:
    """By length of history, by purchases of the target in the training part, and by whether it has any: of
    these users, by the data set of a run."""
    dataset = stored_dataset.load(run / "stages" / "dataset")
    held_out = HeldOut.of(dataset, split)
    row = {dataset.users[user]: place for place, user in enumerate(held_out.users.tolist())}
    asked = np.array([row[user] for user in users])
    lengths = np.array([len(history) for history in held_out.histories])[asked]
    bought = np.bincount(dataset.train.items, minlength=len(dataset.items))[held_out.target[asked]]
    warm = bought > 0
    popularity = np.full(len(asked), NOBODY)
    labels, popularity[warm] = quartiles(bought[warm])
    axis = "purchases of the target in training"
    return [
        Grouping("history", "By length of history", "history length (items)", *quartiles(lengths)),
        Grouping("popularity", "By popularity of the target", axis, labels, popularity),
        Grouping("cold", "Cold and warm targets", "target", ("cold", "warm"), warm.astype(np.int64)),
    ]


def quartiles(values: Int[np.ndarray, " U"]) -> tuple[tuple[str, ...], Int[np.ndarray, " U"]]:
    """At most four groups of about as many users, equal values together, called by what they span.

    >>> labels, group = quartiles(np.array([1, 1, 2, 3, 5, 9]))
    >>> labels, group.tolist()
    (('1', '2', '3 to 5', '9'), [0, 0, 1, 2, 2, 3])
    """
    if not len(values):
        return (), np.zeros(0, dtype=np.int64)
    edges = np.unique(np.quantile(values, [0.25, 0.5, 0.75], method="lower"))
    _, group = np.unique(np.searchsorted(edges, values), return_inverse=True)
    spans = [(values[group == place].min(), values[group == place].max()) for place in range(group.max() + 1)]
    return tuple(f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in spans), group


def by_depth(answers: Answers) -> Grouping:
    """Users by the number of thoughts that a model took for them."""
    depths, group = np.unique(answers.depth, return_inverse=True)
    return Grouping("depth", "By depth", "thoughts", tuple(map(str, depths.tolist())), group)


def grouped(grouping: Grouping, answers: Sequence[Answers], protocol: str, metric: str, title: str) -> Grid:
    """A metric by group with its 95 % intervals: a row a ranker beside, then one a model. All were asked
    about the same users."""
    beside = {name: None for one in answers for name in one.values[protocol] if name is not None}
    rows = [
        Row((name, *_means(grouping, next(one for one in answers if name in one.values[protocol]), protocol,
                           name, metric)))
        for name in beside
    ]  # fmt: skip
    rows += [Row((one.label, *_means(grouping, one, protocol, None, metric)), model=True) for one in answers]
    counts = Row(("users", *(len(grouping.users(place)) for place in range(len(grouping.labels)))))
    columns = (Column("model"), *(Column(label, best=True) for label in grouping.labels))
    return Grid(title, columns, (Row(counts.cells, aside=True), *rows))


def _means(
    grouping: Grouping, answers: Answers, protocol: str, ranker: str | None, metric: str
) -> list[Measured | None]:
    values, cells = answers.values[protocol][ranker][metric], list[Measured | None]()
    for place in range(len(grouping.labels)):
        own = values[grouping.users(place)]
        ends = interval(own, np.random.default_rng(0)) if len(own) else None
        cells.append(Measured(float(own.mean()), *(ends or (None, None))) if len(own) else None)
    return cells
