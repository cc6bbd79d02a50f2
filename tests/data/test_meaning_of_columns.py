"""Columns and files that can be read, and do not hold what their owner thinks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.meaning import (
    FIRST,
    IDS,
    SOUND,
    TEXTS,
    TIMED,
    amazon_files,
    csv_files,
    lcrec_files,
    load,
    recbole_files,
    refused,
    timed,
    told,
)


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_swapped_users_and_items(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND)
    user, item = ("user_id", "item_id") if use == "recbole" else ("user", "item")
    line = refused(use, **options, user=item, item=user, item_in_items=item)
    assert "lacks 8 of the 8 items" in line
    assert "swap 'user' and 'item'?" in line
    alone = {**options, "items": None} if use == "csv" else options
    if use == "recbole":
        (tmp_path / "x.item").unlink()
    (line,) = told(use, **alone, user=item, item=user)
    assert line == f"users are read from column {item!r} and items from {user!r}; swap 'user' and 'item'?"


def test_an_index_that_is_counted_from_one(tmp_path: Path) -> None:
    shifted = [(u, f"i{int(i[1:]) + 1}", t) for u, i, t in SOUND]
    texts = {**TEXTS, "i8": {"title": "one more"}}
    (line,) = told("lcrec", **lcrec_files(tmp_path, shifted, texts))
    assert line.startswith("item 0 is in no sequence of x.inter.json, and nearly all others are")
    texts = {item: text for item, text in texts.items() if item != "i8"}
    assert "lacks 1 of the 8 items" in refused("csv", **csv_files(tmp_path, shifted, texts))


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_texts_under_other_names(tmp_path: Path, use: str, write: Any) -> None:
    named = {item: {"name": text["title"], "group": "bath"} for item, text in TEXTS.items()}
    options = write(tmp_path, SOUND, named)
    file = "x.item" if use == "recbole" else "items.csv"
    fields = "'title', 'brand', 'categories', 'description', 'price', 'features'"
    assert told(use, **options) == [f"8 of 8 items have no text; {file} has name, group: set {fields}"]
    assert told(use, **options, title="name") == []


def test_other_names_in_json(tmp_path: Path) -> None:
    named = {item: {"name": text["title"], "title": ""} for item, text in TEXTS.items()}
    assert told("lcrec", **lcrec_files(tmp_path, SOUND, named)) == [
        "8 of 8 items have no text; x.item.json has name, which are not read"
    ]
    assert told("amazon_reviews", **amazon_files("2018")(tmp_path, SOUND, named)) == [
        "8 of 8 items have no text; m.json has name, which are not read"
    ]


@timed
def test_metadata_that_lack_items(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND, dict(list(TEXTS.items())[:5]))
    if use != "amazon_reviews":
        assert "lacks 3 of the 8 items" in refused(use, **options)
        options["missing_items"] = "empty"
    (line,) = told(use, **options)
    assert line.startswith("3 of 8 items have no text; ")
    assert line.endswith("lacks 3 of them")


@timed
def test_a_row_for_an_item_that_nobody_has_is_counted(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND, {**TEXTS, "i99": {"title": "unsold"}})
    data = load(use, **options)
    assert (data.items.height, data.reading.rows_of_no_item) == (8, 1)
    assert told(use, **options) == []


@pytest.mark.parametrize("release", ["2018", "2023"])
def test_features_are_read(tmp_path: Path, release: str) -> None:
    key = "features" if release == "2023" else "feature"
    texts = {item: {**text, key: ["Smells <b>good</b>", "100 g"]} for item, text in TEXTS.items()}
    data = load("amazon_reviews", **amazon_files(release)(tmp_path, SOUND, texts))
    assert data.items["features"].to_list() == ["Smells good 100 g"] * 8


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_features_of_a_table(tmp_path: Path, use: str, write: Any) -> None:
    texts = {item: {**text, "bullets": "Smells good"} for item, text in TEXTS.items()}
    options = write(tmp_path, SOUND, texts)
    assert load(use, **options, features="bullets").items["features"].to_list() == ["Smells good"] * 8


def test_item_columns_that_differ_by_file(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    items = tmp_path / "items.csv"
    items.write_text(items.read_text().replace("item,", "sku,", 1))
    # Not "did you mean 'title'": that column is taken.
    assert "items.csv:1: has no column 'item' (option 'item_in_items'); valid: sku;" in refused(
        "csv", **options
    )
    assert told("csv", **options, item_in_items="sku") == []
    assert "has no column 'sk' (option 'item_in_items'); did you mean 'sku'?" in refused(
        "csv", **options, item_in_items="sk"
    )


def test_ids_that_differ_in_their_writing(tmp_path: Path) -> None:
    floats = [(u, f"{i[1:]}.0", t) for u, i, t in SOUND]
    texts = {item[1:]: text for item, text in TEXTS.items()}
    line = refused("csv", **csv_files(tmp_path, floats, texts))
    assert "such as '0.0', which it has as '0'" in line


@pytest.mark.parametrize(
    ("use", "write", "name"), [("recbole", recbole_files, "x.inter"), ("lcrec", lcrec_files, "x.inter.json")]
)
def test_two_data_sets_in_one_folder(tmp_path: Path, use: str, write: Any, name: str) -> None:
    options = write(tmp_path, SOUND)
    (tmp_path / f"y{name[1:]}").write_text("{}")
    line = refused(use, **options)
    assert f"found 2: {name}, y{name[1:]}; name one in place of its folder, {tmp_path / name}" in line
    assert len(load(use, path=tmp_path / name).users) == 8


def test_a_file_that_is_no_sequences(tmp_path: Path) -> None:
    lcrec_files(tmp_path, SOUND)
    assert refused("lcrec", path=tmp_path / "x.item.json").endswith(
        "expected a folder, or a file NAME.inter.json"
    )


@timed
def test_what_filters_leave_out_is_told(tmp_path: Path, use: str, write: Any) -> None:
    events = [*SOUND, ("short", "i1", FIRST), ("short", "rare", FIRST + 1), ("u0", "i0", FIRST + 10**9)]
    options = write(tmp_path, events, {**TEXTS, "rare": {"title": "rare"}}) | {
        "repeats": "first",
        "max_users": 4,
    }
    data = load(use, **options)
    assert data.reading.found is not None
    assert data.reading.found.interactions == 43
    left_out = {name: gone.interactions for name, gone in data.reading.left_out.items()}
    assert left_out == {"repeats": 1, "short_users": 2, "max_users": 20}
    assert (data.reading.left_out["short_users"].users, data.reading.left_out["short_users"].items) == (1, 1)


def test_reviews_of_few_stars_are_counted(tmp_path: Path) -> None:
    options = amazon_files("2014")(tmp_path, [*SOUND, ("u0", "i7", FIRST + 99)])
    lines = (tmp_path / "r.json").read_text().splitlines()
    lines[-1] = lines[-1].replace("5.0", "2.0")
    (tmp_path / "r.json").write_text("\n".join(lines))
    data = load("amazon_reviews", **options, min_rating=3)
    assert data.reading.left_out["passed_over"].interactions == 1
    assert len(data.sequences.items) == 40
