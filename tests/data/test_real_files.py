"""Real data sets, and RecBole's layout of ml-100k made from them, against counts of their raw files."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.data.described import described
from lasar_plugins.dataset.csv.config import CsvConfig
from lasar_plugins.dataset.csv.source import CsvSource
from lasar_plugins.dataset.lcrec.config import LcRecConfig
from lasar_plugins.dataset.lcrec.source import LcRecSource
from lasar_plugins.dataset.recbole.config import RecBoleConfig
from lasar_plugins.dataset.recbole.source import RecBoleSource

NAMES = ("beauty", "scientific")
Rows = dict[str, list[int]]


def raw(real_data: Path, name: str) -> tuple[Rows, dict[str, dict[str, Any]]]:
    folder = real_data / name
    (inter,), (item,) = folder.glob("*.inter.json"), folder.glob("*.item.json")
    return json.loads(inter.read_text()), json.loads(item.read_text())


def counted(rows: Rows, items: int) -> dict[str, Any]:
    """The facts of a data table, one user at a time."""
    trained = {item for row in rows.values() for item in row[:-2]}
    lengths = sorted(map(len, rows.values()))
    total, pairs = sum(lengths), sum(len(set(row)) for row in rows.values())
    return {
        "users": len(rows),
        "items": items,
        "interactions": total,
        "sparsity": pytest.approx(1 - pairs / len(rows) / items),
        "lengths": {
            "min": lengths[0],
            "mean": pytest.approx(total / len(rows)),
            "median": (lengths[len(rows) // 2] + lengths[(len(rows) - 1) // 2]) / 2,
            "max": lengths[-1],
        },
        "samples": {"training": total - 3 * len(rows), "validation": len(rows), "test": len(rows)},
        "repeats": sum(len(row) - len(set(row)) for row in rows.values()),
        "untrained_items": items - len(trained),
        "targets": {
            split: {
                "in_history": sum(row[place] in row[:place] for row in rows.values()),
                "same_as_last": sum(row[place] == row[place - 1] for row in rows.values()),
                "untrained": sum(row[place] not in trained for row in rows.values()),
            }
            for split, place in (("validation", -2), ("test", -1))
        },
    }


def facts(data: Dataset, config: Any) -> dict[str, Any]:
    found = described(data, config)
    assert found["warnings"] == []
    return found


@pytest.mark.parametrize("name", NAMES)
def test_as_they_are(real_data: Path, name: str) -> None:
    rows, items = raw(real_data, name)
    config = LcRecConfig(path=real_data / name)
    found = facts(LcRecSource(config, Env()).load(), config)
    expected = counted(rows, len(items))
    assert {key: found[key] for key in expected} == expected
    for field in ("title", "brand", "categories", "description"):
        filled = sum(bool(item.get(field)) for item in items.values())
        assert found["text"]["fields"][field] == filled
    assert found["text"]["none"] == found["items_without_row"] == 0


@pytest.fixture(params=NAMES)
def movies(request: pytest.FixtureRequest, real_data: Path, tmp_path: Path) -> tuple[Path, Rows, int]:
    """The layout of ml-100k, rows in no order: a folder, the sequences, and how many items they have."""
    rows, items = raw(real_data, request.param)
    draw = random.Random(0)
    log = [
        (user, item, draw.randint(1, 5), 874_724_710 + 1000 * place + int(user) % 997)
        for user, row in rows.items()
        for place, item in enumerate(row)
    ]
    draw.shuffle(log)
    lines = "".join("\t".join(map(str, row)) + "\n" for row in log)
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (tmp_path / "ml-100k.inter").write_text(head + lines)
    (tmp_path / "u.data").write_text(lines)
    used = Counter(item for row in rows.values() for item in row)
    texts = "".join(
        f"{item}\t{' '.join(text['title'].split()) or 'none'}\t{1920 + int(item) % 80}\tComedy Drama\n"
        for item, text in items.items()
    )
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (tmp_path / "ml-100k.item").write_text(head + texts)
    return tmp_path, rows, len(used)


def test_atomic_files(movies: tuple[Path, Rows, int]) -> None:
    folder, rows, items = movies
    config = RecBoleConfig(path=folder, title="movie_title", categories="class")
    data = RecBoleSource(config, Env()).load()
    found = facts(data, config)
    expected = counted(rows, items)
    assert {key: found[key] for key in expected} == expected
    assert (found["ties"]["interactions"], found["copies"]) == (0, 0)
    assert found["unused_columns"] == ["release_year"]
    ids = data.items["id"].to_list()
    assert {user: [int(ids[item]) for item in data.sequences[n]] for n, user in enumerate(data.users)} == rows


def test_without_a_header(movies: tuple[Path, Rows, int]) -> None:
    folder, rows, items = movies
    config = CsvConfig(
        interactions=folder / "u.data", separator="\t", columns=("user", "item", "rating", "time")
    )
    data = CsvSource(config, Env()).load()
    found, expected = facts(data, config), counted(rows, items)
    assert {key: found[key] for key in expected} == expected


def test_days_in_place_of_seconds_are_told(movies: tuple[Path, Rows, int]) -> None:
    """As in the published dumps: most of a user's items at the same time."""
    folder, rows, _ = movies
    (log := folder / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(
            f"{u}\t{i}\t{86_400 * (10_000 + place // 2)}\n"
            for u, row in rows.items()
            for place, i in enumerate(row)
        )
    )
    config = RecBoleConfig(path=log, title="movie_title")
    (line,) = described(RecBoleSource(config, Env()).load(), config)["warnings"]
    tied = sum(len(row) // 2 * 2 for row in rows.values())
    even = sum(len(row) % 2 == 0 for row in rows.values())
    total = sum(map(len, rows.values()))
    assert line.startswith(f"{tied:,} of {total:,} interactions have the same time")
    assert f"{even:,} of {len(rows):,} test" in line
