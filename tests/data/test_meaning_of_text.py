"""Text that can be read another way: headers, separators, decimal commas, encodings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.meaning import SOUND, TEXTS, csv_files, every, load, recbole_files, refused, sequences


@pytest.mark.parametrize(
    ("separator", "name"), [(",", "ratings.csv"), ("\t", "u.data"), ("::", "ratings.dat"), (" ", "log.txt")]
)
def test_files_without_a_header(tmp_path: Path, separator: str, name: str) -> None:
    rows = [(u[1:], i[1:], "5", str(t)) for u, i, t in SOUND]
    file = tmp_path / name
    file.write_text("".join(separator.join(row) + "\n" for row in rows))
    line = refused("csv", interactions=file)
    assert f"{name}:1: " in line
    assert "looks like data (0, 0, 5, 1600000000), but a header is expected" in line
    assert "'columns: [user, item, …]'" in line
    assert (f"is its separator {separator!r}?" in line) == (separator != ",")
    assert "looks like data (0, 0, 5" in refused("csv", interactions=file, separator=separator)
    columns = ["user", "item", "rating", "time"]
    data = load("csv", interactions=file, separator=separator, columns=columns)
    assert (len(data.users), len(data.sequences.items)) == (8, 40)
    assert sequences(data)["0"] == ["0", "1", "2", "3", "4"]
    line = refused("csv", interactions=file, separator=separator, columns=columns[:3])
    assert line.endswith(f"{name}:1: has 4 cells, expected 3 as in 'columns'")


def test_a_file_of_blanks(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    (tmp_path / "items.csv").write_text("  \n\n")
    assert "items.csv:1: has no column 'item' (option 'item_in_items'); valid:   ;" in refused(
        "csv", **options
    )


def test_a_header_that_holds_one_value_twice_is_data(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,1,5,874965758\n" * 3)
    assert "looks like data (1, 1, 5, 874965758)" in refused("csv", interactions=tmp_path / "x.csv")


def test_columns_for_a_file_that_names_them(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    line = refused("csv", **options, columns=["user", "item", "time"], time=None)
    assert line.endswith("log.csv:1: names the columns itself; leave 'columns' out")


def test_names_that_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("ann,soap\n" * 3)
    line = refused("csv", interactions=tmp_path / "x.csv", time=None)
    assert line.endswith("valid: ann, soap; 'columns' names the columns of a file without a header")


def test_items_without_a_header(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    (tmp_path / "items.csv").write_bytes(
        "".join(f"i{n}::Café {n}::Bath|Tea\n" for n in range(8)).encode("latin-1")
    )
    options |= {"separator": "::", "item_columns": ["item", "title", "categories"], "encoding": "latin-1"}
    (tmp_path / "log.csv").write_text((tmp_path / "log.csv").read_text().replace(",", "::"))
    assert load("csv", **options).items["title"].to_list() == [f"Café {n}" for n in range(8)]


@pytest.mark.parametrize("separator", [";", "|", "\t", "::"])
def test_another_separator_than_declared(tmp_path: Path, separator: str) -> None:
    options = csv_files(tmp_path, SOUND) | {"items": None}
    log = tmp_path / "log.csv"
    log.write_text(log.read_text().replace(",", separator))
    line = refused("csv", **options)
    assert line.endswith(
        f"log.csv:1: has one column only: is its separator {separator!r}? (option 'separator', now ',')"
    )
    assert len(load("csv", **options, separator=separator).users) == 8


@pytest.mark.parametrize("line", ['{"user": "ann", "item": "soap", "time": 3}', '[{"user": "ann"}]', "{"])
@pytest.mark.parametrize("separator", [None, ";"])
def test_lines_of_json_are_told(tmp_path: Path, line: str, separator: str | None) -> None:
    (tmp_path / "log.jsonl").write_text(f"{line}\n" * 3)
    told = refused("csv", interactions=tmp_path / "log.jsonl", separator=separator)
    assert told.endswith("log.jsonl:1: holds JSON, which is not read here; write it as CSV or Parquet")


def test_another_separator_in_atomic_files(tmp_path: Path) -> None:
    options = recbole_files(tmp_path, SOUND)
    for file in (tmp_path / "x.inter", tmp_path / "x.item"):
        file.write_text(file.read_text().replace("\t", "::"))
    assert "has one column only: is its separator '::'? (option 'field_separator'" in refused(
        "recbole", **options
    )
    assert len(load("recbole", **options, field_separator="::").users) == 8


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
@every
def test_other_encodings(tmp_path: Path, use: str, write: Any, encoding: str) -> None:
    texts = {**TEXTS, "i0": {"title": "Crème brûlée"}}
    options = write(tmp_path, SOUND, texts)
    for file in tmp_path.iterdir():
        text = file.read_text()
        if text.startswith("{") or "json" in file.name:  # as other programs write JSON
            text = text.encode().decode("unicode_escape") if "\\u" in text else text
        file.write_bytes(text.encode(encoding))
    line = refused(use, **options)
    assert "is not UTF-8 text (byte" in line
    assert line.endswith("'encoding' names another, such as latin-1")
    data = load(use, **options, encoding=encoding)
    assert data.items["title"][0] == "Crème brûlée"


def test_an_encoding_that_does_not_fit(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    (tmp_path / "log.csv").write_bytes("user,item,time\n".encode("utf-16")[:-1])
    assert "is not utf-16 text from here on (truncated data); see the option 'encoding'" in refused(
        "csv", **options, encoding="utf-16"
    )
    for wrong in ("klingon", "base64"):
        with pytest.raises(ValueError, match="must be"):
            load("csv", **options, encoding=wrong)


@every
def test_decimal_commas_and_hidden_texts(tmp_path: Path, use: str, write: Any) -> None:
    style = "<style>.a {margin:0}</style>Body <!-- .x {} --> text"
    texts = {item: {**text, "description": style, "price": "19.99"} for item, text in TEXTS.items()}
    options = write(tmp_path, SOUND, texts)
    for file in tmp_path.iterdir():  # in the tables a comma would be a separator
        old, new = ("19.99", '"19,99"') if file.suffix == ".csv" else ("19.99", "19,99")
        file.write_text(file.read_text().replace(old, new))
    from lasar_kit.core.item_text import item_text

    data = load(use, **options)
    assert data.items["price"].to_list() == ["19.99"] * 8
    assert item_text(data.items, ["description"]) == ["Body text"] * 8
