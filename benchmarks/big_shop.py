"""A generated shop of any size, as files: reviews and metadata in the layout of McAuley's dumps, and CSV.

Drawn and written in parts by numpy and polars, so that ten million interactions take minutes and no memory to
speak of. What is bought follows a power law; three in four of a user's items are of one department, whose
words the items' titles share; an item has five interactions or more, and a user about ten, so that a 5-core
leaves most of it.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

EACH = 10
"""Interactions an item, on average."""
LEAST = 5
"""Interactions an item has at least, before its repeats are taken out."""
DEPARTMENT = 500
"""Items of a department."""
WORDS = 6_000
PART = 1 << 20
"""Rows written at once."""
FIRST_DAY, DAYS = 1_400_000_000, 1_000


def bought(rows: int, seed: int = 0) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """User and item of each interaction, in the order of the files."""
    draw = np.random.default_rng(seed)
    items = rows // EACH
    weight = (1.0 + np.arange(items)) ** -0.8
    own = np.repeat(np.arange(items), LEAST)
    more = np.searchsorted(np.cumsum(weight / weight.sum()), draw.random(rows - len(own)))
    place = draw.permutation(items)
    item = place[np.minimum(np.concatenate([own, more]), items - 1)]
    near = draw.random(rows) < 0.75
    department = np.where(near, item // DEPARTMENT, draw.integers(0, items // DEPARTMENT + 1, rows))
    item = item[np.lexsort((draw.random(rows), department))]
    lengths = LEAST + draw.geometric(1 / (EACH - LEAST + 1), rows // LEAST) - 1
    user = np.repeat(np.arange(len(lengths)), lengths)[:rows]
    order = draw.permutation(rows)
    return user[order].astype(np.int32), item[order].astype(np.int32)


def interactions(rows: int) -> Iterator[pl.DataFrame]:
    """All interactions as frames of `PART` rows: user, item, time in seconds since 1970."""
    user, item = bought(rows)
    draw = np.random.default_rng(1)
    for start in range(0, rows, PART):
        part = slice(start, start + PART)
        time = FIRST_DAY + draw.integers(0, DAYS * 86_400, len(user[part]))
        frame = pl.DataFrame({"user": user[part], "item": item[part], "time": time})
        yield frame.with_columns(
            pl.format("A{}USER", "user").alias("user"), pl.format("B{}ITEM", "item").alias("item")
        )


def titles(rows: int) -> Iterator[pl.DataFrame]:
    """All items as frames: item, title, brand, categories. Six in ten words are the department's own."""
    items = rows // EACH
    draw = np.random.default_rng(2)
    words = np.array([f"{a}{b}" for a in _syllables(draw, 80) for b in _syllables(draw, 75)])[:WORDS]
    for start in range(0, items, PART):
        row = np.arange(start, min(start + PART, items))
        department = row // DEPARTMENT
        shared = (department[:, None] * 7 + draw.integers(0, 20, (len(row), 6))) % WORDS
        word = np.where(draw.random((len(row), 6)) < 0.6, shared, draw.integers(0, WORDS, (len(row), 6)))
        cells = words[word]
        yield pl.DataFrame(
            {
                "item": row,
                **{f"w{n}": cells[:, n] for n in range(6)},
                "brand": words[(department * 3 + draw.integers(0, 5, len(row))) % WORDS],
                "categories": words[department % WORDS],
            }
        ).select(
            pl.format("B{}ITEM", "item").alias("item"),
            pl.concat_str([f"w{n}" for n in range(6)], separator=" ").alias("title"),
            "brand",
            "categories",
        )


def _syllables(draw: np.random.Generator, count: int) -> list[str]:
    """Different syllables of three to five letters."""
    found: dict[str, None] = {}
    while len(found) < count:
        letters = draw.choice(list("abcdefghijklmnopqrstuvwxyz"), draw.integers(3, 6))
        found["".join(letters)] = None
    return list(found)


def write_csv(folder: Path, rows: int) -> None:
    """`events.csv` and `products.csv`."""
    _append(
        folder / "events.csv",
        (part.write_csv(include_header=not n).encode() for n, part in enumerate(interactions(rows))),
    )
    _append(
        folder / "products.csv",
        (part.write_csv(include_header=not n).encode() for n, part in enumerate(titles(rows))),
    )


def write_amazon(folder: Path, rows: int) -> None:
    """`reviews.json.gz` and `metadata.json.gz`, as the dumps of 2018 are."""
    _append(folder / "reviews.json.gz", map(_reviews, interactions(rows)))
    _append(folder / "metadata.json.gz", map(_metadata, titles(rows)))


def _reviews(part: pl.DataFrame) -> bytes:
    text = "Just what I was looking for: it came in time, does what it should, and I would buy it again."
    return (
        part.select(
            pl.lit(5.0).alias("overall"),
            pl.lit(True).alias("verified"),
            pl.lit("09 1, 2016").alias("reviewTime"),
            pl.col("user").alias("reviewerID"),
            pl.col("item").alias("asin"),
            pl.lit("A customer").alias("reviewerName"),
            pl.lit(text).alias("reviewText"),
            pl.lit("Five Stars").alias("summary"),
            pl.col("time").alias("unixReviewTime"),
        )
        .write_ndjson()
        .encode()
    )


def _metadata(part: pl.DataFrame) -> bytes:
    return (
        part.select(
            pl.concat_list(pl.lit("All"), "categories").alias("category"),
            pl.concat_list(pl.lit("")).alias("description"),
            "title",
            "brand",
            pl.lit("$9.99").alias("price"),
            pl.col("item").alias("asin"),
        )
        .write_ndjson()
        .encode()
    )


def _append(path: Path, parts: Iterator[bytes]) -> None:
    """Write a file, gzip by its suffix."""
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        for part in parts:
            file.write(part)
