"""Interactions and items from tables with named columns."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.reading import Reading
from lasar_kit.core.sources.interactions import Histories, InteractionLog, Interactions, histories
from lasar_kit.core.sources.items import TEXT_FIELDS, ItemText, dataset, price
from lasar_kit.core.sources.layout import Table
from lasar_kit.core.sources.options import TableOptions
from lasar_kit.core.sources.times import is_time, one_unit, seconds
from lasar_kit.errors import UserError

_TIME_NAME = re.compile(r"time|date|when|_at$|_ts$|^ts$|^at$", re.IGNORECASE)
_USER_NAME = re.compile(r"user|customer|reviewer|member|visitor|client|buyer|session", re.IGNORECASE)
_ITEM_NAME = re.compile(r"item|product|asin|sku|movie|book|track|article|isbn", re.IGNORECASE)
_BACKWARDS = 0.01
"""The share of steps back in time, by a column of times that is not in use, that is told."""


def _unread_times(table: Table, options: TableOptions) -> str | None:
    """A column that seems to hold times, where none is in use."""
    taken = {options.user, options.item}
    named = [name for name in table.columns if name not in taken and _TIME_NAME.search(name)]
    return named[0] if named and options.time is None else None


def read_interactions(table: Table, options: TableOptions) -> tuple[Interactions, tuple[str, ...]]:
    """All interactions of a table, in its order, and remarks on them."""
    named = {"user": options.user, "item": options.item} | ({"time": options.time} if options.time else {})
    columns = [table.column(option, name) for option, name in named.items()]
    unread = _unread_times(table, options)
    if unread is not None:
        columns.append(table.columns.index(unread))
    log, dates = InteractionLog(timed=options.time is not None), array("d")
    log.extend(_rows(table, columns, options, dates))
    interactions = log.interactions()
    if not len(interactions):
        raise UserError(f"{table.path}: holds no interactions, only the names of its columns")
    remarks = _swapped(options)
    if options.time is not None:
        remarks += one_unit(interactions.time, lambda row: table.place(_nth(table, row)))
    elif unread is not None:
        remarks += _backwards(interactions, np.array(dates), unread)
    return interactions, remarks


def _rows(
    table: Table, columns: Sequence[int], options: TableOptions, dates: array[float]
) -> Iterator[tuple[str, str, float]]:
    """User, item and time of each row; times of a column that is not in use go to `dates`."""
    for number, (user, item, *time) in table.rows(columns):
        if not user or not item:
            missing = options.item if user else options.user
            raise UserError(f"{table.place(number)}: the cell of column {missing!r} is empty, expected an id")
        if options.time is None:
            yield user, item, float(number)
            if time:
                dates.append(seconds(time[0]) if is_time(time[0]) else np.nan)
            continue
        try:
            yield user, item, seconds(time[0])
        except ValueError:
            raise UserError(
                f"{table.place(number)}: column {options.time!r}: expected a time, a number or ISO 8601, "
                f"got {time[0]!r}"
            ) from None


def _nth(table: Table, row: int) -> int:
    """The number of a row, counted from 0."""
    return next(islice(table.rows([0]), row, None))[0]


def _swapped(options: TableOptions) -> tuple[str, ...]:
    """Whether users and items seem to be read from each other's columns, by their names."""
    user, item = options.user, options.item
    as_items = _ITEM_NAME.search(user) and not _USER_NAME.search(user)
    as_users = _USER_NAME.search(item) and not _ITEM_NAME.search(item)
    if not (as_items and as_users):
        return ()
    return (f"users are read from column {user!r} and items from {item!r}; swap 'user' and 'item'?",)


def _backwards(log: Interactions, dates: np.ndarray, column: str) -> tuple[str, ...]:
    """Whether rows that are taken as oldest first go back in time by a column that is not read."""
    order = np.argsort(log.user, kind="stable")
    same_user, steps = np.diff(log.user[order]) == 0, np.diff(dates[order])
    known = same_user & np.isfinite(steps)
    share = (steps[known] < 0).mean() if known.any() else 0.0
    if share < _BACKWARDS:
        return ()
    return (
        f"rows are taken as oldest first ('time: null'), but {share:.0%} of a user's steps go back in time "
        f"by column {column!r}, which is not read; set 'time: {column}'",
    )


def text_columns(table: Table, options: TableOptions) -> dict[str, int]:
    """Where the fields of item text stand: in the column an option names, or one of the field's own name."""
    columns = {}
    for field in TEXT_FIELDS:
        name = getattr(options, field)
        if name is not None or field in table.columns:
            columns[field] = table.column(field, name if name is not None else field)
    return columns


@dataclass(frozen=True)
class Items:
    """Text of the items that were asked for, the line of every item, and the columns that were not read."""

    text: dict[str, ItemText]
    lines: dict[str, int]
    unused: tuple[str, ...]


def read_items(
    table: Table, options: TableOptions, wanted: set[str], categories: Callable[[str], str] = str
) -> Items:
    """Text of the `wanted` items; `categories` rewrites that column."""
    columns = text_columns(table, options)
    own = options.item_in_items
    key = table.column("item_in_items", options.item if own is None else own, taken=columns.values())
    text: dict[str, ItemText] = {}
    lines: dict[str, int] = {}
    for number, (item, *cells) in table.rows([key, *columns.values()]):
        if not item:
            raise UserError(
                f"{table.place(number)}: the cell of column {table.columns[key]!r} is empty, expected an id"
            )
        if item in lines:
            raise UserError(
                f"{table.place(number)}: the item {item!r} stands already at {table.place(lines[item])}"
            )
        lines[item] = number
        if item in wanted:
            row = dict(zip(columns, (" ".join(cell.split()) for cell in cells), strict=True))
            amount = row.get("price", "")
            text[item] = ItemText(**row)._replace(
                categories=categories(row.get("categories", "")), price=price(amount) or amount
            )
    read = {key, *columns.values()}
    return Items(text, lines, tuple(name for n, name in enumerate(table.columns) if n not in read))


def load(
    interactions: Table,
    items: Table | None,
    options: TableOptions,
    seed: int,
    categories: Callable[[str], str] = str,
) -> Dataset:
    """A data set of an interaction table and, if there is one, an item table."""
    log, remarks = read_interactions(interactions, options)
    kept = histories(log, options, str(interactions.path), seed)
    del log
    if items is None:
        return dataset(kept, {}, Reading(remarks=remarks))
    table = read_items(items, options, set(kept.items), categories)
    missing = [item for item in kept.items if item not in table.text]
    if missing:
        lack = (
            f"{items.path}: lacks {len(missing)} of the {len(kept.items)} items of {interactions.path}, "
            f"such as {missing[0]!r}"
        )
        why = "".join(_why_missing(kept, missing, table.lines))
        if options.missing_items == "error":
            mend = "'missing_items: empty' gives them empty text"
            if len(missing) == len(kept.items) and table.lines and not why:
                mend = (
                    f"its own are such as {next(iter(table.lines))!r}; is 'item_in_items' the right column?"
                )
            raise UserError(f"{lack}{why}; {mend}")
        remarks += (lack + why,) if why else ()
    reading = Reading(
        item_file=items.path.name,
        unused=table.unused,
        without_row=len(missing),
        rows_of_no_item=len(table.lines) - len(table.text),
        remarks=remarks,
    )
    return dataset(kept, table.text, reading)


def _why_missing(kept: Histories, missing: list[str], lines: dict[str, int]) -> Iterator[str]:
    """List what may be behind items that the item table lacks."""
    if len(missing) > len(kept.items) / 2 and sum(user in lines for user in kept.users) > len(kept.users) / 2:
        yield "; but it has the ids that are read as users: swap 'user' and 'item'?"
        return
    item = missing[0]
    for other in (item.strip(), item.lstrip("0"), item.removesuffix(".0"), item + ".0", item.casefold()):
        if other in lines:
            yield f", which it has as {other!r}"
            return
