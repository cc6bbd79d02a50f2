"""Thoughts about some users on the page of a run: what its model would answer after each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from lasar_kit.data import stored_dataset
from lasar_kit.data.held_out import HeldOut
from lasar_kit.errors import UserError
from lasar_kit.report.answers import Answers, lines
from lasar_kit.report.grid import Cell, Column, Grid
from lasar_kit.report.html.material import Material

if TYPE_CHECKING:
    from lasar_kit.serve.explain import Explained, Stop

Explain = Callable[[Path, Sequence[list[str]]], "Sequence[Explained]"]
"""Reads the thoughts of a run's model about histories of raw ids."""

STOPS = "Users are chosen evenly. A row is the answer that the model would give had it stopped there."

WIDTH = 160
"""Letters of a text that are shown."""


def grids(run: Material, explain: Explain | None, count: int) -> tuple[list[str], list[Grid]]:
    """Lines and tables about `count` users of the last evaluation, evenly chosen: their thoughts where the
    model thinks, and what it wrote about them where its predictions hold that."""
    answers = list(run.answers.values())[-1] if run.answers else None
    if answers is None or not count:
        return [], []
    rows = np.unique(np.linspace(0, len(answers.users) - 1, min(count, len(answers.users))).astype(int))
    written = list(_written(run, answers, rows.tolist()))
    if explain is None or not answers.thinks:
        return [], written
    users = [answers.users[row] for row in rows]
    try:
        told = explain(run.path, _histories(run, answers, users))
    except UserError as error:
        return [f"Thoughts cannot be read: {error.lines[0]}"], written
    targets = [answers.targets[row] for row in rows]
    return [STOPS], [*map(_table, users, targets, told), *written]


def _histories(run: Material, answers: Answers, users: Sequence[str]) -> list[list[str]]:
    dataset = stored_dataset.load(run.path / "stages" / "dataset")
    held_out = HeldOut.of(dataset, run.split(answers))
    place = {dataset.users[user]: row for row, user in enumerate(held_out.users.tolist())}
    ids = dataset.items["id"]
    return [ids[held_out.histories[place[user]]].to_list() for user in users]


def _table(user: str, target: str, one: Explained) -> Grid:
    """A row a stop: the thought before it, and what the model would answer."""
    near = any(stop.nearest for stop in one.stops)
    columns: list[Column | str] = ["after", Column("change (nats)", 4)]
    columns += [Column(name, words=True) for name in ("first tokens", "items")]
    columns += [Column("nearest segment", words=True)] if near else []
    rows = [_row(stop, near) for stop in one.stops]
    policy = ", ".join(f"{depth}: {share:.2f}" for depth, share in one.policy.items())
    title = f"User {user}: thinks {one.depth} time{'s' * (one.depth != 1)}, for item {target}"
    notes = [f"probability of each number of thoughts: {policy}", f"the latest items: {_latest(one.history)}"]
    if near:
        notes.append(f"segments: of the teacher's texts, nearest by {one.measure}")
    return Grid.of(title, columns, rows, *notes)


def _row(stop: Stop, near: bool) -> list[Cell]:
    named = f"{stop.thoughts} thought{'s' * (stop.thoughts != 1)}"
    tokens = ", ".join(f"{one.tokens} {one.probability:.2f}" for one in stop.prefixes[0][:3])
    items = "; ".join(shorten(f"{one.item} {one.title}", 60, placeholder="…") for one in stop.items)
    told: list[Cell] = [named, stop.change, tokens, items]
    if near:
        best = stop.nearest[0] if stop.nearest else None
        told.append(None if best is None else shorten(best.text, WIDTH, placeholder=" …"))
    return told


def _latest(history: Sequence[str], count: int = 5) -> str:
    return ", ".join(["…"] * (len(history) > count) + list(history[-count:]))


def _written(run: Material, answers: Answers, rows: Sequence[int]) -> Iterator[Grid]:
    """What a model that writes before it answers wrote, as its predictions hold it."""
    stored = lines(run.path, answers.stage)
    held = [stored[row] for row in rows if stored[row].get("written")]
    if held:
        told = [(line["user"], line["target"], line["rank"], line["written"]) for line in held]
        yield Grid.of("What the model wrote", ["user", "target", "rank", Column("text", words=True)], told)
