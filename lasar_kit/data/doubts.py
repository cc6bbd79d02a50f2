"""Doubts that a data set is as its owner thinks: a line each, with the option that mends it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import polars as pl

from lasar_kit.core.dataset import Dataset
from lasar_kit.data.description import TEXTS, Facts

TIED_TARGETS, TIED = 0.01, 0.05
"""The shares of targets and of interactions at the same time as others from which on it is told."""
IN_A_ROW = 0.01
"""The share of interactions with the item just before, where no times tell copies from reorders."""
IN_HISTORY = 0.01
UNTRAINED = 0.25
"""Shares of test targets."""
NO_TEXT, NO_TITLE = 0.01, 0.05
"""Shares of items."""
FEW_TIMES = 10
"""Distinct times that are more like ratings, among many interactions."""
MANY = 20
"""Items or interactions from which on a share means something."""

LETTERS = 8
"""More than a price has, currency and all."""

_NUMBER = re.compile(r"[\d\s.,:/-]+")


def doubts(dataset: Dataset, facts: Facts, options: Collection[str]) -> list[str]:
    """Lines about `facts`, what `describe` told of the data set; `options` are those that its source has."""
    lines = [*dataset.reading.remarks]
    for of in (_copies, _ties, _history, _untrained):
        lines += of(facts, options)
    lines += _text(facts, options)
    lines += _titles(dataset.items, options)
    return lines


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,}"


def _copies(facts: Facts, options: Collection[str]) -> Iterator[str]:
    total, same = facts["interactions"], facts["targets"]["test"]["same_as_last"]
    asked = f"; {_share(same, facts['samples']['test'])} test targets are the item just before"
    mend = "; 'copies: drop' leaves one of each" if "copies" in options else ""
    if facts["copies"]:
        yield (
            f"{_share(facts['copies'], total)} interactions are exact copies of another, of the same user, "
            f"item and time{asked}{mend}"
        )
    elif facts["copies"] is None and facts["in_a_row"] > IN_A_ROW * total:
        yield (
            f"{_share(facts['in_a_row'], total)} interactions are with the item just before, as copies of "
            f"rows are{asked}{mend}"
        )


def _ties(facts: Facts, options: Collection[str]) -> Iterator[str]:
    ties, total = facts["ties"], facts["interactions"]
    if ties is None or ties["order"] == "random":
        return
    held_out = [(split, ties[split], facts["samples"][split]) for split in ("validation", "test")]
    bites = any(count > TIED_TARGETS * max(targets, 1) for _, count, targets in held_out)
    if not bites and ties["interactions"] <= TIED * total:
        return
    targets = ", ".join(f"{_share(count, all_)} {split}" for split, count, all_ in held_out)
    mend = "; 'ties: random' draws an order by the seed" if "ties" in options else ""
    few = ties["distinct_times"] <= FEW_TIMES and total >= MANY
    odd = (
        f"; there are but {ties['distinct_times']} different times: is 'time' the right column?"
        if few
        else ""
    )
    yield (
        f"{_share(ties['interactions'], total)} interactions have the same time as one of their user with "
        f"another item (targets: {targets}), so the order of the file decides what comes next{mend}{odd}"
    )


def _history(facts: Facts, options: Collection[str]) -> Iterator[str]:
    count, total = facts["targets"]["test"]["in_history"], facts["samples"]["test"]
    if facts["copies"] != 0:  # what may be copies is told apart
        count -= facts["targets"]["test"]["same_as_last"]
    if count > IN_HISTORY * max(total, 1):
        mend = "; 'repeats: first' keeps one of each" if "repeats" in options else ""
        yield (
            f"{_share(count, total)} test targets stand in the user's own history: 'exclude_history' would "
            f"put them out of reach{mend}"
        )


def _untrained(facts: Facts, options: Collection[str]) -> Iterator[str]:
    count, total = facts["targets"]["test"]["untrained"], facts["samples"]["test"]
    if total >= MANY and count > UNTRAINED * total:
        mend = "; 'k_core' leaves out rare items" if "k_core" in options else ""
        yield f"{_share(count, total)} test targets are items that nobody has in training{mend}"


def _text(facts: Facts, options: Collection[str]) -> Iterator[str]:
    items, none, titled = facts["items"], facts["text"]["none"], facts["text"]["fields"].get("title", 0)
    file, unused = facts["item_file"], facts["unused_columns"]
    if file is None and none == items:  # no text was asked for
        return
    lacks = f"; {file} lacks {facts['items_without_row']:,} of them" if facts["items_without_row"] else ""
    if none > NO_TEXT * items:
        yield f"{_share(none, items)} items have no text{lacks}{_columns(file, unused, options)}"
    elif items - titled > NO_TITLE * items:
        yield f"{_share(items - titled, items)} items have no title{lacks}{_columns(file, unused, options)}"


def _columns(file: str, unused: list[str], options: Collection[str]) -> str:
    """The columns that an item file has besides, and the options that take them."""
    if not unused:
        return ""
    settable = [name for name in TEXTS if name in options]
    mend = f": set {', '.join(map(repr, settable))}" if settable else ", which are not read"
    return f"; {file} has {', '.join(unused[:12])}{mend}"


def _titles(items: pl.DataFrame, options: Collection[str]) -> Iterator[str]:
    """Whether titles and prices seem to be read from other columns than theirs."""
    titles = [title for title in items["title"].to_list() if title]
    prices = [price for price in items["price"].to_list() if price]
    mend = ": is 'title' the right column?" if "title" in options else ": are these titles?"
    if len(titles) >= MANY:
        numbers = sum(bool(_NUMBER.fullmatch(title)) for title in titles)
        if numbers > len(titles) / 2:
            yield f"{_share(numbers, len(titles))} titles are numbers, such as {titles[0]!r:.40}{mend}"
        elif len(set(titles)) < len(titles) / 2:
            yield f"{len(titles):,} titles have {len(set(titles)):,} different values{mend}"
    if len(prices) >= MANY:
        words = sum(sum(map(str.isalpha, price)) > LETTERS for price in prices)
        if words > len(prices) / 2:
            yield f"{_share(words, len(prices))} prices are no numbers, such as {prices[0]!r:.40}"
