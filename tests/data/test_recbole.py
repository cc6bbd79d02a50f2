"""RecBole's atomic files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import DataSource
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.recbole.config import RecBoleConfig
from lasar_plugins.dataset.recbole.source import RecBoleSource

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(
    f"{user}\t{item}\t4\t{time}\n"
    for user, item, time in [
        ("u2", "10", 3.0),
        ("u1", "9", 88125.0),
        ("u1", "10", 88124.5),
        ("u2", "9", 1),
        ("u2", "11", 2),
        ("u1", "11", 9e9),
        ("u3", "12", 1),
    ]
)
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '10\tToy "Story\t1995\tAnimation Comedy\n9\tHeat\t1995\t\n11\tSabrina\t1995\tRomance\n12\tX\t1990\tY\n'
)


def folder(path: Path, inter: str = INTER, item: str | None = ITEM) -> Path:
    (path / "ml.inter").write_text(inter)
    if item is not None:
        (path / "ml.item").write_text(item)
    return path


def load(path: Path, **given: object) -> Dataset:
    return RecBoleSource(RecBoleConfig.model_validate({"path": path} | given), Env()).load()


@pytest.mark.parametrize("name", ["", "ml.inter"])
def test_load(tmp_path: Path, name: str) -> None:
    data = load(folder(tmp_path) / name, title="movie_title", categories="class")
    assert data.users == ("u1", "u2")
    assert [row.tolist() for row in (data.sequences[0], data.sequences[1])] == [[0, 2, 1], [2, 1, 0]]
    assert data.items.select("id", "title", "categories", "brand").rows() == [
        ("10", 'Toy "Story', "Animation, Comedy", ""),
        ("11", "Sabrina", "Romance", ""),
        ("9", "Heat", "", ""),
    ]


def test_files_and_interface(tmp_path: Path) -> None:
    source = RecBoleSource(RecBoleConfig(path=folder(tmp_path, item=None)), Env())
    assert isinstance(source, DataSource)
    assert list(source.files()) == [tmp_path / "ml.inter"]
    assert source.load().items["title"].to_list() == ["", "", ""]
    folder(tmp_path)
    assert list(source.files()) == [tmp_path / "ml.inter", tmp_path / "ml.item"]


def test_token_cells_and_other_separators(tmp_path: Path) -> None:
    item = ITEM.replace("class:token_seq", "class:token")
    assert load(folder(tmp_path, item=item), categories="class").items["categories"][0] == "Animation Comedy"
    item = ITEM.replace("Animation Comedy", "Animated film| Comedy")
    found = load(folder(tmp_path, item=item), categories="class", seq_separator="|")
    assert found.items["categories"][0] == "Animated film, Comedy"
    folder(tmp_path, INTER.replace("\t", ";"), ITEM.replace("\t", ";"))
    assert load(tmp_path, field_separator=";").users == ("u1", "u2")


def test_options(tmp_path: Path) -> None:
    folder(tmp_path)
    assert [load(tmp_path, time=None).sequences[0].tolist()] == [[2, 0, 1]]
    assert load(tmp_path, max_users=1).users == ("u1",)
    with pytest.raises(UserError, match="no user has 3 items left of 7 interactions under k_core 3"):
        load(tmp_path, k_core=3)


@pytest.mark.parametrize(
    ("inter", "item", "expected"),
    [
        (
            INTER.replace("item_id:token", "itemid:token"),
            ITEM,
            "ml.inter:1: has no column 'item_id' (option 'item'); did you mean 'itemid'?",
        ),
        (
            INTER.replace("rating:float", "rating"),
            ITEM,
            "ml.inter:1: expected columns as name:type, type one of token, ",
        ),
        (
            INTER.replace("rating:float", "rating:int"),
            ITEM,
            "ml.inter:1: expected columns as name:type, type one of ",
        ),
        (INTER + "u9\t9\t", ITEM, "ml.inter:9: has 3 cells, expected 4 as in line 1"),
        (INTER.replace("88124.5", "nan"), ITEM, "ml.inter:4: column 'timestamp': expected a time"),
        (INTER, ITEM.replace("11\tS", "10\tS"), "ml.item:4: the item '10' stands already at {}/ml.item:2"),
        (
            INTER,
            ITEM.replace("11\tS", "13\tS"),
            "ml.item: lacks 1 of the 3 items of {}/ml.inter, such as '11'; ",
        ),
        ("", ITEM, "ml.inter: is empty"),
    ],
)
def test_mistakes(tmp_path: Path, inter: str, item: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(folder(tmp_path, inter, item))
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{tmp_path}/{expected.format(tmp_path)}")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \*.inter"):
        load(tmp_path)
    folder(tmp_path)
    with pytest.raises(UserError, match=r"mi.inter: no such file; did you mean 'ml.inter'"):
        RecBoleSource(RecBoleConfig(path=tmp_path / "mi.inter"), Env()).files()
    (tmp_path / "other.inter").touch()
    with pytest.raises(UserError, match=r"found 2: ml.inter, other.inter"):
        load(tmp_path)
