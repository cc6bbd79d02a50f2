"""A small sound data set in the files of every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import polars as pl

from bad_input.harness import Files

Row = dict[str, Any]

HISTORIES = {f"u{user}": [f"i{(user + step * step) % 8}" for step in range(5)] for user in range(6)}
TITLES = {
    f"i{item}": f"{'red' if item % 2 else 'green'} soap number {['one', 'two', 'three'][item % 3]}"
    for item in range(8)
}


def sound_interactions() -> list[Row]:
    return [
        {"user": user, "item": item, "time": 10 * int(user[1:]) + place}
        for user, items in HISTORIES.items()
        for place, item in enumerate(items)
    ]


def sound_items() -> list[Row]:
    return [{"item": item, "title": title} for item, title in TITLES.items()]


def _delimited(rows: list[Row], columns: list[str], mark: str) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=mark, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if (v := row.get(c.partition(":")[0])) is None else v for c in columns])
    return file.getvalue().encode("utf-8", "surrogatepass")


def _lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _csv(interactions: list[Row], items: list[Row]) -> tuple[Files, dict[str, Any]]:
    files = {
        "log.csv": _delimited(interactions, ["user", "item", "time"], ","),
        "items.csv": _delimited(items, list(items[0]), ","),
    }
    return files, {"use": "csv", "interactions": "log.csv", "items": "items.csv"}


def _parquet(interactions: list[Row], items: list[Row]) -> tuple[Files, dict[str, Any]]:
    def table(rows: list[Row], columns: list[str]) -> bytes:
        file = io.BytesIO()
        cells = {
            c: [None if r.get(c) is None else str(r[c]).encode("utf-8", "replace").decode() for r in rows]
            for c in columns
        }
        pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String)).write_parquet(file)
        return file.getvalue()

    files = {
        "log.parquet": table(interactions, ["user", "item", "time"]),
        "items.parquet": table(items, list(items[0])),
    }
    return files, {"use": "csv", "interactions": "log.parquet", "items": "items.parquet"}


def _recbole(interactions: list[Row], items: list[Row]) -> tuple[Files, dict[str, Any]]:
    files = {
        "d/x.inter": _delimited(interactions, ["user:token", "item:token", "time:float"], "\t"),
        "d/x.item": _delimited(items, [f"{name}:token" for name in items[0]], "\t"),
    }
    return files, {"use": "recbole", "path": "d", "user": "user", "item": "item", "time": "time"}


def _amazon(names: tuple[str, str, str, str], metadata: str) -> Callable[..., tuple[Files, dict[str, Any]]]:
    def make(interactions: list[Row], items: list[Row]) -> tuple[Files, dict[str, Any]]:
        user, item, time, rating = names
        reviews = [
            {user: r.get("user"), item: r.get("item"), time: r.get("time"), rating: 5.0} for r in interactions
        ]
        texts = [
            {metadata: r.get("item"), "title": r.get("title"), "categories": [["a", "b"]]} for r in items
        ]
        files = {"reviews.json": _lines(reviews), "meta.json": _lines(texts)}
        return files, {
            "use": "amazon_reviews",
            "reviews": "reviews.json",
            "metadata": "meta.json",
            "k_core": 0,
        }

    return make


def _lcrec(interactions: list[Row], items: list[Row]) -> tuple[Files, dict[str, Any]]:
    """Ids are numbers here; what is none is written as it stands."""

    def number(value: Any) -> Any:
        text = str(value)
        return int(text[1:]) if text[:1] in "ui" and text[1:].lstrip("-").isdigit() else value

    def pairs(rows: list[tuple[Any, Any]]) -> bytes:
        return (
            "{" + ", ".join(f"{json.dumps(str(key))}: {json.dumps(value)}" for key, value in rows) + "}"
        ).encode()

    histories: dict[Any, list[Any]] = {}
    for row in interactions:
        histories.setdefault(str(number(row.get("user"))), []).append(number(row.get("item")))
    texts = [(number(row.get("item")), {"title": row.get("title")}) for row in items]
    return {"d/x.inter.json": pairs(list(histories.items())), "d/x.item.json": pairs(texts)}, {
        "use": "lcrec",
        "path": "d",
    }


FORMATS: dict[str, Callable[[list[Row], list[Row]], tuple[Files, dict[str, Any]]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "recbole": _recbole,
    "amazon 2014": _amazon(("reviewerID", "asin", "unixReviewTime", "overall"), "asin"),
    "amazon 2023": _amazon(("user_id", "parent_asin", "timestamp", "rating"), "parent_asin"),
    "lcrec": _lcrec,
}
