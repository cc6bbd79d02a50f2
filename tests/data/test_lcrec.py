"""LC-Rec's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.core.dataset import ITEM_COLUMNS
from lasar_kit.core.interfaces import DataSource
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.lcrec.config import LcRecConfig
from lasar_plugins.dataset.lcrec.source import LcRecSource

ITEMS: dict[str, Any] = {
    "1": {"title": " Red lacquer ", "brand": None, "categories": ["Beauty", "Nails"], "price": 5.5},
    "0": {
        "title": "Paraffin bath",
        "brand": "Scholl",
        "categories": "Beauty, Hands",
        "description": "Warm",
        "x": 1,
    },
    "2": {"title": "", "price": float("nan")},
}
USERS: dict[str, Any] = {"10": [0, 1, 2, 0], "2": [2, 1, 0], "0": [0, 1]}


def folder(path: Path, users: object = USERS, items: object = ITEMS) -> Path:
    (path / "Toy.inter.json").write_text(users if isinstance(users, str) else json.dumps(users))
    (path / "Toy.item.json").write_text(items if isinstance(items, str) else json.dumps(items))
    return path


def source(path: Path) -> LcRecSource:
    return LcRecSource(LcRecConfig(path=path), Env())


def test_load(tmp_path: Path) -> None:
    loader = source(folder(tmp_path))
    assert isinstance(loader, DataSource)
    assert [path.name for path in loader.files()] == ["Toy.inter.json", "Toy.item.json"]
    data = loader.load()
    assert data.users == ("2", "10")  # by number; user 0 has two items
    assert [row.tolist() for row in (data.sequences[0], data.sequences[1])] == [[2, 1, 0], [0, 1, 2, 0]]
    assert tuple(data.items.columns) == ITEM_COLUMNS
    assert data.items.rows() == [
        ("0", "Paraffin bath", "Scholl", "Beauty, Hands", "Warm", "", ""),
        ("1", "Red lacquer", "", "Beauty, Nails", "", "5.5", ""),
        ("2", "", "", "", "", "", ""),
    ]


@pytest.mark.parametrize(
    ("users", "items", "expected"),
    [
        (
            {"0": [0, 1, 7]},
            ITEMS,
            "inter.json: user 0: item 7 is not in {}/Toy.item.json, whose ids are 0 to 2",
        ),
        ({"0": [0, -1, 2]}, ITEMS, "inter.json: user 0: item -1 is not in {}/Toy.item.json"),
        ({"0": [0, "1", 2]}, ITEMS, "inter.json: user 0: expected an item id as a whole number, got '1'"),
        ({"0": [0, True, 2]}, ITEMS, "inter.json: user 0: expected an item id as a whole number, got True"),
        ({"0": 5}, ITEMS, "inter.json: user 0: expected a list of item ids, got 5"),
        ({"A1X": [0, 1, 2]}, ITEMS, "inter.json: expected user ids 0, 1, 2, … as keys, got 'A1X'"),
        ({"1" * 5000: [0]}, ITEMS, "inter.json: expected user ids 0, 1, 2, … as keys, got '111"),
        ({"01": [0, 1, 2]}, ITEMS, "inter.json: expected user ids 0, 1, 2, … as keys, got '01'"),
        ([[0, 1, 2]], ITEMS, "inter.json: expected a JSON object with user ids as keys, got a list"),
        ({}, ITEMS, "inter.json: holds no users"),
        ({"0": [0, 1]}, ITEMS, "inter.json: no user has 3 items"),
        ('{"0": [0, 1, 2], "0": [0, 1]}', ITEMS, "inter.json: the key '0' stands twice"),
        ('{"0": [0, 1, 2],\n"1": [0', ITEMS, "inter.json:2: is not JSON"),
        ("", ITEMS, "inter.json: is empty"),
        (USERS, {}, "item.json: holds no items"),
        (
            USERS,
            {"0": {"title": "a"}, "2": {"title": "b"}},
            "item.json: item ids must run from 0 without a gap; 1 is",
        ),
        (USERS, {"0": "a"}, "item.json: item 0: expected an object with a title, got 'a'"),
        (
            USERS,
            {"0": {"titel": "a"}},
            "item.json: item 0: has none of title, brand, categories, description, price, features; "
            "'titel': did you mean 'title'?",
        ),
        (
            USERS,
            {"0": {"title": {"en": "a"}}},
            "item.json: item 0: title: expected a text, got {{'en': 'a'}}",
        ),
    ],
)
def test_mistakes(tmp_path: Path, users: object, items: object, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        source(folder(tmp_path, users, items)).load()
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{tmp_path}/Toy.{expected.format(tmp_path)}")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \*.inter.json"):
        source(tmp_path).files()
    folder(tmp_path)
    (tmp_path / "Toy.item.json").rename(tmp_path / "Toi.item.json")
    with pytest.raises(UserError, match=r"Toy.item.json: no such file; did you mean 'Toi.item.json'"):
        source(tmp_path).files()
    (tmp_path / "Other.inter.json").touch()
    with pytest.raises(UserError, match=r"expected one \*.inter.json, found 2"):
        source(tmp_path).load()


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions", "titles"),
    [("beauty", 22_363, 12_101, 198_502, 12_094), ("scientific", 8_317, 4_344, 58_492, 4_344)],
)
def test_real_data(
    real_data: Path, name: str, users: int, items: int, interactions: int, titles: int
) -> None:
    data = source(real_data / name).load()
    assert (len(data.users), len(data.items), len(data.sequences.items)) == (users, items, interactions)
    assert (data.items["title"] != "").sum() == titles
    assert data.sequences.lengths.min() == 5
    assert len(data.train.items) == interactions - 2 * users
    raw = json.loads(next((real_data / name).glob("*.inter.json")).read_text())
    assert all(data.sequences[row].tolist() == raw[user] for row, user in enumerate(data.users))
