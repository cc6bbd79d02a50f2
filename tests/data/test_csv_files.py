"""CSV, TSV and Parquet files."""

from __future__ import annotations

import gzip
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import DataSource
from lasar_kit.core.sources.times import seconds
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.csv.config import CsvConfig
from lasar_plugins.dataset.csv.source import CsvSource

INTERACTIONS = """user,item,time
bo,kettle,30
al,soap,2024-03-01
al,kettle,2024-02-28T23:00:00+02:00
bo,soap,10
cy,soap,1
al,"cup, blue",1700000000
bo,"cup, blue",20.5
bo,soap,40
"""
ITEMS = """item,price,title,tags,notes
kettle,20,Copper kettle,"Kitchen, Tea",no
soap,3,"Soap
 of oats",Bath,
"cup, blue",,,,x
unused,1,Unused,,
"""


def load(path: Path, **given: object) -> Dataset:
    config = CsvConfig.model_validate({"interactions": path / "log.csv"} | given)
    return CsvSource(config, Env()).load()


def written(path: Path, interactions: str | bytes = INTERACTIONS, items: str = ITEMS) -> Path:
    content = interactions.encode() if isinstance(interactions, str) else interactions
    (path / "log.csv").write_bytes(content)
    (path / "items.csv").write_text(items)
    return path


def rows(data: Dataset) -> dict[str, list[str]]:
    ids = data.items["id"].to_list()
    return {user: [ids[i] for i in data.sequences[u]] for u, user in enumerate(data.users)}


EXPECTED = {"al": ["cup, blue", "kettle", "soap"], "bo": ["soap", "cup, blue", "kettle", "soap"]}


def test_load(tmp_path: Path) -> None:
    data = load(written(tmp_path), items=tmp_path / "items.csv", categories="tags", description="notes")
    assert rows(data) == EXPECTED
    assert data.items.rows() == [
        ("cup, blue", "", "", "", "x", "", ""),
        ("kettle", "Copper kettle", "", "Kitchen, Tea", "no", "20", ""),
        ("soap", "Soap of oats", "", "Bath", "", "3", ""),
    ]


def test_files_and_interface(tmp_path: Path) -> None:
    written(tmp_path)
    alone = CsvSource(CsvConfig(interactions=tmp_path / "log.csv"), Env())
    assert isinstance(alone, DataSource)
    assert list(alone.files()) == [tmp_path / "log.csv"]
    both = CsvSource(CsvConfig(interactions=tmp_path / "log.csv", items=tmp_path / "items.csv"), Env())
    assert list(both.files()) == [tmp_path / "log.csv", tmp_path / "items.csv"]


def test_without_items_text_is_empty(tmp_path: Path) -> None:
    data = load(written(tmp_path))
    assert rows(data) == EXPECTED
    assert data.items["title"].to_list() == ["", "", ""]


def test_without_times_rows_are_oldest_first(tmp_path: Path) -> None:
    data = load(written(tmp_path), time=None)
    assert rows(data) == {
        "al": ["soap", "kettle", "cup, blue"],
        "bo": ["kettle", "soap", "cup, blue", "soap"],
    }


def test_k_core_and_repeats(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no user has 3 items left of 8 interactions under k_core 3"):
        load(written(tmp_path), k_core=3)
    assert rows(load(tmp_path, k_core=2, repeats="last"))["bo"] == ["cup, blue", "kettle", "soap"]


@pytest.mark.parametrize("name", ["log.tsv", "log.tsv.gz", "log.txt"])
def test_separators(tmp_path: Path, name: str) -> None:
    text = "who\twhat\twhen\n" + "".join(f"al\ti{n}\t{9 - n}\n" for n in range(3))
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    given = {"separator": "\t"} if name.endswith("txt") else {}
    data = load(tmp_path, interactions=tmp_path / name, user="who", item="what", time="when", **given)
    assert rows(data) == {"al": ["i2", "i1", "i0"]}


@pytest.mark.parametrize(
    "times",
    [
        [3, 1, 2],
        [0.3, 0.1, 0.2],
        [date(2024, 1, 3), date(2024, 1, 1), date(2024, 1, 2)],
        [
            datetime(2024, 1, 1, 0, 0, 3, tzinfo=UTC),
            datetime(2024, 1, 1, tzinfo=UTC),
            datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC),
        ],
        ["2024-01-03", "2024-01-01", "2024-01-02T12:00"],
    ],
    ids=["int", "float", "date", "datetime", "text"],
)
def test_parquet(tmp_path: Path, times: list[object]) -> None:
    log, items = tmp_path / "log[1].parquet", tmp_path / "items.parquet"
    pl.DataFrame({"user": [7, 7, 7], "item": [30, 10, 20], "time": times, "more": [1, 2, 3]}).write_parquet(
        log
    )
    pl.DataFrame(
        {"item": [10, 20, 30], "title": ["a", None, "c"], "categories": [["x", "y"], [], None]}
    ).write_parquet(items)
    data = load(tmp_path, interactions=log, items=items)
    assert rows(data) == {"7": ["10", "20", "30"]}
    assert data.items["title"].to_list() == ["a", "", "c"]
    assert data.items["categories"].to_list() == ["x, y", "", ""]


def test_parquet_mistakes(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    pl.DataFrame({"user": ["a", None], "item": ["x", "y"], "time": [1.0, 2.0]}).write_parquet(log)
    with pytest.raises(UserError, match=r"log.parquet: row 2: the cell of column 'user' is empty"):
        load(tmp_path, interactions=log)
    pl.DataFrame({"user": ["a"], "item": ["x"], "time": [float("nan")]}).write_parquet(log)
    with pytest.raises(UserError, match=r"row 1: column 'time': expected a time.*, got 'NaN'"):
        load(tmp_path, interactions=log)
    pl.DataFrame({"user": ["a"], "item": ["x"], "tme": [1]}).write_parquet(log)
    with pytest.raises(UserError, match=r"has no column 'time' \(option 'time'\); did you mean 'tme'"):
        load(tmp_path, interactions=log)
    log.write_bytes(log.read_bytes()[:-20])
    with pytest.raises(UserError, match="is not a complete Parquet file"):
        load(tmp_path, interactions=log)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0),
        ("1.5e3", 1500.0),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("-3", -3.0),
    ],
)
def test_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


def test_a_time_without_zone_is_utc_wherever_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert seconds("1970-01-01T05:00") == 5 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("interactions", "expected"),
    [
        ("user,itm,time\na,x,1\n", "log.csv:1: has no column 'item' (option 'item'); did you mean 'itm'?"),
        ("a,b,c\na,x,1\n", "log.csv:1: has no column 'user' (option 'user'); valid: a, b, c"),
        ("user,user,item\na,x,1\n", "log.csv:1: names the column 'user' twice"),
        ("user,item,time\na,x,1\na,x\n", "log.csv:3: has 2 cells, expected 3 as in line 1"),
        ("user,item,time\na,x,1\n,x,2\n", "log.csv:3: the cell of column 'user' is empty, expected an id"),
        ("user,item,time\na,,1\n", "log.csv:2: the cell of column 'item' is empty, expected an id"),
        (
            "user,item,time\na,x,nan\n",
            "log.csv:2: column 'time': expected a time, a number or ISO 8601, got 'nan'",
        ),
        ("user,item,time\na,x,soon\n", "log.csv:2: column 'time': expected a time"),
        ("user,item,time\na,x,\n", "log.csv:2: column 'time': expected a time, a number or ISO 8601, got ''"),
        ('user,item,time\na,x,1\na,"x,1\n', "log.csv:3: is not a table of this kind: a quote is not closed"),
        ("user,item,time\n", "log.csv: holds no interactions, only the names of its columns"),
        ("\n\n", "log.csv: holds no line but blank ones"),
        ("", "log.csv: is empty"),
        (b"user,item,time\na,\xff,1\n", "log.csv:2: is not UTF-8 text (byte 3 of the line is 0xff)"),
        ("user,item,time\n".encode("utf-16"), "log.csv:1: is not UTF-8 text (byte 1 of the line is 0x"),
    ],
)
def test_mistakes(tmp_path: Path, interactions: str | bytes, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, interactions))
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{tmp_path}/{expected}")


@pytest.mark.parametrize(
    ("items", "options", "expected"),
    [
        ("item\nsoap\nkettle\nsoap\n", {}, "items.csv:4: the item 'soap' stands already at {}/items.csv:2"),
        (
            "item\nsoap\n",
            {},
            "items.csv: lacks 2 of the 3 items of {}/log.csv, such as 'cup, blue'; 'missing_items: ",
        ),
        (
            "item,name\nsoap,x\n",
            {"title": "nam"},
            "items.csv:1: has no column 'nam' (option 'title'); did you mean 'name'",
        ),
        (
            "item\n17\n18\n",
            {},
            "items.csv: lacks 3 of the 3 items of {}/log.csv, such as 'cup, blue'; its own are such as '17'; "
            "is 'item_in_items' the right column?",
        ),
        ("item,name\nsoap,x\n,y\n", {}, "items.csv:3: the cell of column 'item' is empty"),
        ("asin\nsoap\n", {}, "items.csv:1: has no column 'item' (option 'item_in_items')"),
    ],
)
def test_mistakes_of_items(tmp_path: Path, items: str, options: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, items=items), items=tmp_path / "items.csv", **options)
    assert caught.value.lines[0].startswith(f"{tmp_path}/{expected.format(tmp_path)}")


def test_missing_items_may_be_empty(tmp_path: Path) -> None:
    written(tmp_path, items="item,title\nsoap,Soap\n")
    data = load(tmp_path, items=tmp_path / "items.csv", missing_items="empty")
    assert data.items["title"].to_list() == ["", "", "Soap"]


def test_missing_file(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(UserError, match=r"item.csv: no such file; did you mean 'items.csv'"):
        load(tmp_path, items=tmp_path / "item.csv")
