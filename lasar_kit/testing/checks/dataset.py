"""Laws for every data source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from lasar_kit.core.dataset import ITEM_COLUMNS
from lasar_kit.core.interfaces import DataSource
from lasar_kit.testing.contract import Contract, Subject, expect


def _act(component: DataSource, inputs: None) -> dict[str, Any]:
    return {"dataset": component.load()}


dataset = Contract("dataset", DataSource, st.none(), lambda case: case, _act, changeable=False, examples=1)


@dataset.check("Return the paths that load() opens: a change in them makes the data set a new one.")
def files_are_there(subject: Subject, case: None) -> None:
    """`files` is a list of paths, each of a file that exists."""
    for path in subject.component.files():
        expect(isinstance(path, Path), f"files() holds {path!r}, not a Path")
        expect(path.is_file(), f"files() names {path}, which is no file")


@dataset.check(
    "Make the table by lasar_kit.core.sources.items.item_table; an absent value is the empty string."
)
def items_have_their_columns(subject: Subject, case: None) -> None:
    """The item table has the columns of `ITEM_COLUMNS`, texts without nulls, and no id twice."""
    items = subject.component.load().items
    expect(items.columns == list(ITEM_COLUMNS), f"columns are {items.columns}, not {list(ITEM_COLUMNS)}")
    wrong = [name for name in items.columns if items[name].dtype != pl.String or items[name].null_count()]
    expect(not wrong, f"not texts throughout: {', '.join(wrong)}")
    ids = items["id"]
    expect(ids.n_unique() == len(ids), f"{len(ids) - ids.n_unique()} item ids stand twice")


@dataset.check("Write items as rows of the item table, counted from 0: Sequences.of(rows).")
def sequences_hold_item_rows(subject: Subject, case: None) -> None:
    """Sequences hold rows of the item table, and their offsets ascend from 0 to the end."""
    loaded = subject.component.load()
    offsets, rows = loaded.sequences.offsets, loaded.sequences.items
    sound = offsets[0] == 0 and offsets[-1] == len(rows) and (np.diff(offsets) >= 0).all()
    expect(sound, f"offsets {offsets[:5].tolist()} … {offsets[-1:].tolist()} of {len(rows)} items")
    inside = (rows >= 0) & (rows < loaded.items.height)
    expect(inside.all(), f"item row {rows[~inside][:1].tolist()} of {loaded.items.height} items")


@dataset.check("Leave users of fewer than three items out, and name each user once.")
def users_have_three_items(subject: Subject, case: None) -> None:
    """Every user has a name of its own and, unless the data set brings its own cuts, three items or more."""
    loaded = subject.component.load()
    count = len(loaded.sequences)
    expect(len(loaded.users) == count, f"{len(loaded.users)} users, but {count} sequences")
    expect(len(set(loaded.users)) == count, f"{count - len(set(loaded.users))} users stand twice")
    short = loaded.sequences.lengths < (3 if loaded.cuts is None else 1)
    expect(not short.any(), f"user {short.argmax()} has {loaded.sequences.lengths[short.argmax()]} items")


@dataset.check(
    "Give cuts as rows (begin of validation, begin of test), each between 0 and the sequence's length."
)
def cuts_are_in_order(subject: Subject, case: None) -> None:
    """Where a data set brings its own cuts, each user's parts follow each other."""
    loaded = subject.component.load()
    if loaded.cuts is None:
        return
    cuts, lengths = loaded.cuts, loaded.sequences.lengths
    expect(cuts.shape == (len(lengths), 2), f"cuts of shape {cuts.shape} for {len(lengths)} users")
    wrong = (cuts[:, 0] < 0) | (cuts[:, 0] > cuts[:, 1]) | (cuts[:, 1] > lengths)
    user = int(wrong.argmax())
    expect(not wrong.any(), f"user {user} of {lengths[user]} items is cut at {cuts[user].tolist()}")
