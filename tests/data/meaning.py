"""Small files of each source that mean the same, and what a source says of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.data.described import described
from lasar_kit.errors import UserError
from lasar_plugins.dataset.amazon_reviews.config import AmazonReviewsConfig
from lasar_plugins.dataset.amazon_reviews.source import AmazonReviewsSource
from lasar_plugins.dataset.csv.config import CsvConfig
from lasar_plugins.dataset.csv.source import CsvSource
from lasar_plugins.dataset.lcrec.config import LcRecConfig
from lasar_plugins.dataset.lcrec.source import LcRecSource
from lasar_plugins.dataset.recbole.config import RecBoleConfig
from lasar_plugins.dataset.recbole.source import RecBoleSource

KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "csv": (CsvConfig, CsvSource),
    "recbole": (RecBoleConfig, RecBoleSource),
    "lcrec": (LcRecConfig, LcRecSource),
    "amazon_reviews": (AmazonReviewsConfig, AmazonReviewsSource),
}
Events = list[tuple[str, str, int]]
FIRST = 1_600_000_000
SOUND: Events = [
    (f"u{user}", f"i{(user + step) % 8}", FIRST + 10**6 * user + 1000 * step)
    for user in range(8)
    for step in range(5)
]
TEXTS = {f"i{n}": {"title": f"Soap no {n}"} for n in range(8)}


def load(use: str, seed: int = 0, **options: object) -> Dataset:
    config, source = KINDS[use]
    data: Dataset = source(config.model_validate({"use": use} | options), Env(seed=seed)).load()
    return data


def told(use: str, **options: object) -> list[str]:
    data = load(use, **options)
    lines: list[str] = described(data, KINDS[use][0].model_validate({"use": use} | options))["warnings"]
    return lines


def refused(use: str, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        load(use, **options)
    (line,) = caught.value.lines
    return line


def sequences(data: Dataset) -> dict[str, list[str]]:
    ids = data.items["id"].to_list()
    return {user: [ids[item] for item in data.sequences[row]] for row, user in enumerate(data.users)}


def csv_files(path: Path, events: Events, texts: dict[str, Any] = TEXTS) -> dict[str, object]:
    (path / "log.csv").write_text("user,item,time\n" + "".join(f"{u},{i},{t}\n" for u, i, t in events))
    names = list(next(iter(texts.values())))
    rows = "".join(",".join([item, *text.values()]) + "\n" for item, text in texts.items())
    (path / "items.csv").write_text(",".join(["item", *names]) + "\n" + rows)
    return {"interactions": path / "log.csv", "items": path / "items.csv"}


def recbole_files(path: Path, events: Events, texts: dict[str, Any] = TEXTS) -> dict[str, object]:
    head = "user_id:token\titem_id:token\ttimestamp:float\n"
    (path / "x.inter").write_text(head + "".join(f"{u}\t{i}\t{t}\n" for u, i, t in events))
    names = "".join(f"\t{name}:token" for name in next(iter(texts.values())))
    rows = "".join("\t".join([item, *text.values()]) + "\n" for item, text in texts.items())
    (path / "x.item").write_text(f"item_id:token{names}\n{rows}")
    return {"path": path}


def amazon_files(release: str) -> Callable[..., dict[str, object]]:
    new = release == "2023"
    user, item, time, rating = (
        ("user_id", "parent_asin", "timestamp", "rating")
        if new
        else ("reviewerID", "asin", "unixReviewTime", "overall")
    )

    def write(path: Path, events: Events, texts: dict[str, Any] = TEXTS) -> dict[str, object]:
        reviews = [
            {user: u, item: i, time: t * (1000 if new and t < 10**11 else 1), rating: 5.0}
            for u, i, t in events
        ]
        metadata = [{item: name, **text} for name, text in texts.items()]
        (path / "r.json").write_text("".join(json.dumps(row) + "\n" for row in reviews))
        (path / "m.json").write_text("".join(json.dumps(row) + "\n" for row in metadata))
        return {"reviews": path / "r.json", "metadata": path / "m.json", "k_core": 0, "repeats": "all"}

    return write


def lcrec_files(path: Path, events: Events, texts: dict[str, Any] = TEXTS) -> dict[str, object]:
    rows: dict[str, list[int]] = {}
    for user, item, _ in events:
        rows.setdefault(user[1:], []).append(int(item[1:]))
    (path / "x.inter.json").write_text(json.dumps(rows))
    (path / "x.item.json").write_text(json.dumps({item[1:]: text for item, text in texts.items()}))
    return {"path": path}


TIMED: list[tuple[str, Callable[..., dict[str, object]]]] = [
    ("csv", csv_files),
    ("recbole", recbole_files),
    ("amazon_reviews", amazon_files("2014")),
    ("amazon_reviews", amazon_files("2018")),
    ("amazon_reviews", amazon_files("2023")),
]
IDS = ["csv", "recbole", "amazon 2014", "amazon 2018", "amazon 2023"]
timed = pytest.mark.parametrize(("use", "write"), TIMED, ids=IDS)
every = pytest.mark.parametrize(("use", "write"), [*TIMED, ("lcrec", lcrec_files)], ids=[*IDS, "lcrec"])
