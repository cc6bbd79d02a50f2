"""A data set told in numbers, as the table of data in a paper does, and what a source saw as it read it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset
from lasar_kit.core.item_text import is_blank

TEXTS = ITEM_COLUMNS[1:]
"""Columns of an item table that hold text."""

Facts = dict[str, Any]


def describe(dataset: Dataset) -> Facts:
    """All there is to tell, ready for JSON.

    Interactions are those that the filters left. `sparsity` is the share of pairs of a user and an item that
    none is of. `repeats` are interactions with an item that the user took
    before, `copies` those among them at the same time too, and `in_a_row` those with the item just before.
    `ties` counts interactions, and targets, whose user took another item at the same time; it is null where
    times are not known. `targets` stand in the history they are asked with (`in_history`), are its last item
    (`same_as_last`), or are in no training part (`untrained`).
    """
    reading, sequences = dataset.reading, dataset.sequences
    users, items, count = len(dataset.users), len(dataset.items), len(sequences.items)
    lengths, repeats = sequences.lengths, _repeats(dataset)
    trained = np.bincount(dataset.train.items, minlength=items) > 0
    return {
        "users": users,
        "items": items,
        "interactions": count,
        "sparsity": 1 - (count - repeats["repeats"]) / (users * items) if users and items else 0.0,
        "lengths": {
            "min": int(lengths.min(initial=count)),
            "mean": float(lengths.mean()) if users else 0.0,
            "median": float(np.median(lengths)) if users else 0.0,
            "max": int(lengths.max(initial=0)),
        },
        "samples": _samples(dataset),
        "found": asdict(reading.found) if reading.found else None,
        "left_out": {name: asdict(gone) for name, gone in reading.left_out.items()},
        **repeats,
        "ties": _ties(dataset),
        "untrained_items": int((~trained).sum()),
        "targets": _targets(dataset, trained),
        "text": _texts(dataset.items),
        "item_file": reading.item_file or None,
        "unused_columns": list(reading.unused),
        "items_without_row": reading.without_row,
        "rows_of_no_item": reading.rows_of_no_item,
    }


def _samples(dataset: Dataset) -> dict[str, int]:
    """Training samples (each item but a user's first is an answer once), and held-out targets."""
    places = held_out_places(dataset)
    training = int(np.maximum(dataset.train.lengths - 1, 0).sum())
    return {"training": training, **{split: len(rows) for split, rows in places.items()}}


def held_out_places(dataset: Dataset) -> dict[str, Int[np.ndarray, " U"]]:
    """Where in `sequences.items` the validation and test targets stand: the first item of each part."""
    ends = np.column_stack([dataset.parts, dataset.sequences.lengths])
    begin = dataset.sequences.offsets[:-1]
    return {
        split: (begin + ends[:, part])[ends[:, part] < ends[:, part + 1]]
        for part, split in enumerate(("validation", "test"))
    }


def _user_of(dataset: Dataset) -> Int[np.ndarray, " N"]:
    return np.repeat(np.arange(len(dataset.users)), dataset.sequences.lengths)


def _seen_before(dataset: Dataset) -> Bool[np.ndarray, " N"]:
    """Which interactions are with an item that their user took before."""
    pair = _user_of(dataset) * len(dataset.items) + dataset.sequences.items
    again = np.ones(len(pair), dtype=bool)
    again[np.unique(pair, return_index=True)[1]] = False
    return again


def _like_the_one_before(dataset: Dataset) -> Bool[np.ndarray, " N"]:
    same = np.zeros(len(dataset.sequences.items), dtype=bool)
    same[1:] = np.diff(dataset.sequences.items) == 0
    same[dataset.sequences.offsets[:-1][dataset.sequences.lengths > 0]] = False
    return same


def _repeats(dataset: Dataset) -> Facts:
    times, copies = dataset.reading.times, None
    if times is not None:
        user, item = _user_of(dataset), dataset.sequences.items
        order = np.lexsort((item, times, user))
        same = [np.diff(column[order]) == 0 for column in (user, item, times)]
        copies = int(np.logical_and.reduce(same).sum())
    return {
        "repeats": int(_seen_before(dataset).sum()),
        "copies": copies,
        "in_a_row": int(_like_the_one_before(dataset).sum()),
    }


def _ties(dataset: Dataset) -> Facts | None:
    """Sequences are in order of time, so that those at the same time stand beside each other."""
    times = dataset.reading.times
    if times is None:
        return None
    moment = np.concatenate([[0], ((np.diff(times) != 0) | (np.diff(_user_of(dataset)) != 0)).cumsum()])
    moment = moment[: len(times)]
    pairs = np.unique(moment * len(dataset.items) + dataset.sequences.items)
    tied = np.bincount(pairs // len(dataset.items))[moment] > 1
    places = held_out_places(dataset)
    return {
        "interactions": int(tied.sum()),
        **{split: int(tied[rows].sum()) for split, rows in places.items()},
        "distinct_times": len(np.unique(times)),
        "order": "random" if dataset.reading.ties_drawn else "file",
    }


def _targets(dataset: Dataset, trained: Bool[np.ndarray, " I"]) -> Facts:
    seen, same = _seen_before(dataset), _like_the_one_before(dataset)
    return {
        split: {
            "in_history": int(seen[rows].sum()),
            "same_as_last": int(same[rows].sum()),
            "untrained": int((~trained[dataset.sequences.items[rows]]).sum()),
        }
        for split, rows in held_out_places(dataset).items()
    }


def _texts(items: pl.DataFrame) -> Facts:
    """Items with each field of text, once it is cleaned, and those with none at all."""
    empty = np.ones(len(items), dtype=bool)
    fields: Facts = {}
    for name in (name for name in TEXTS if name in items.columns):
        filled = np.array([not is_blank(text) for text in items[name].to_list()], dtype=bool)
        fields[name] = int(filled.sum())
        empty &= ~filled
    return {"fields": fields, "none": int(empty.sum())}
