"""The Amazon review dumps, each release in its own fields."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import DataSource
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.dataset.amazon_reviews.config import AmazonReviewsConfig
from lasar_plugins.dataset.amazon_reviews.records import parse, records
from lasar_plugins.dataset.amazon_reviews.source import AmazonReviewsSource

LOG = [  # user, item, day, stars
    ("U2", "B3", 5, 5.0),
    ("U1", "B1", 3, 4.0),
    ("U1", "B2", 3, 2.0),
    ("U1", "B3", 1, 5.0),
    ("U2", "B1", 4, 5.0),
    ("U2", "B2", 9, 5.0),
    ("U2", "B3", 11, 1.0),
    ("U3", "B4", 1, 5.0),
    ("U1", "B3", 8, 5.0),
    ("U2", "B2", 2, 3.0),
]
FIRST = {"U1": ["B3", "B1", "B2"], "U2": ["B2", "B1", "B3"]}
"""By time, the first of repeats kept; B1 stands before B2 in the file on the day they share."""


def old(user: str, item: str, day: int, stars: float) -> dict[str, Any]:
    return {
        "reviewerID": user,
        "asin": item,
        "overall": stars,
        "unixReviewTime": day * 86400,
        "reviewText": "…",
    }


def new(user: str, item: str, day: int, stars: float) -> dict[str, Any]:
    # variants have asins of their own, the parent is the item
    return {
        "user_id": user,
        "parent_asin": item,
        "asin": item + "-v",
        "timestamp": day * 86400000,
        "rating": stars,
    }


METADATA: dict[str, list[dict[str, Any]]] = {
    "2014": [
        {"asin": "B9", "title": "Never bought"},
        {
            "asin": "B1",
            "title": "Nail &amp; file",
            "brand": "Acme",
            "price": 12.99,
            "description": 'It\'s \\d "big"',
            "categories": [["Beauty", "Nails"], ["Beauty", "Tools"]],
            "related": {"also_bought": ["B2"]},
        },
        {"asin": "B3", "categories": [["Beauty"]]},
    ],
    "2018": [
        {
            "asin": "B1",
            "title": "Nail &amp; file",
            "brand": "by\n  Acme",
            "price": "$12.99",
            "description": ['It\'s \\d <b>"big"</b>', ""],
            "category": ["Beauty", "Nails", "Tools"],
        },
        {"asin": "B1", "title": "Again, and ignored"},
        {"asin": "B3", "category": ["Beauty"], "price": ".a-box-inner{background}", "title": None},
    ],
    "2023": [
        {
            "parent_asin": "B1",
            "title": "Nail & file",
            "store": "Acme",
            "price": 12.99,
            "description": ["It's \\d", '"big"'],
            "categories": ["Beauty", "Nails", "Tools"],
            "details": {"Brand": "Other"},
        },
        {
            "parent_asin": "B3",
            "title": "",
            "store": None,
            "details": {"Brand": "Base"},
            "price": "None",
            "categories": ["Beauty"],
        },
    ],
}


def written(path: Path, release: str, packed: bool, loose: bool = False) -> dict[str, Any]:
    """Files of a release, and the options that name them."""
    shape = new if release == "2023" else old
    files = {
        "reviews": "".join(json.dumps(shape(*row)) + "\n" for row in LOG),
        "metadata": "".join((repr if loose else json.dumps)(row) + "\n" for row in METADATA[release]),
    }
    suffix = ".json.gz" if packed else ".jsonl"
    for name, text in files.items():
        content = text.encode()
        (path / (name + suffix)).write_bytes(gzip.compress(content) if packed else content)
    return {name: path / (name + suffix) for name in files} | {"k_core": 0}


def load(**given: object) -> Dataset:
    return AmazonReviewsSource(AmazonReviewsConfig.model_validate(given), Env()).load()


def rows(data: Dataset) -> dict[str, list[str]]:
    ids = data.items["id"].to_list()
    return {user: [ids[i] for i in data.sequences[u]] for u, user in enumerate(data.users)}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("release", "loose"), [("2014", True), ("2014", False), ("2018", False), ("2023", False)]
)
def test_load(tmp_path: Path, release: str, loose: bool, packed: bool, named: bool) -> None:
    options = written(tmp_path, release, packed, loose)
    data = load(**options, release=release if named else "auto")
    assert rows(data) == FIRST
    brand = "Base" if release == "2023" else ""
    by = "by " if release == "2018" else ""
    assert data.items.rows() == [
        ("B1", "Nail & file", by + "Acme", "Beauty, Nails, Tools", 'It\'s \\d "big"', "12.99", ""),
        ("B2", "", "", "", "", "", ""),
        ("B3", "", brand, "Beauty", "", "", ""),
    ]


@given(
    st.lists(st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.text()), min_size=1),
    st.lists(st.sampled_from(["", " ", "\t", "\r"]), min_size=2, max_size=2),
    st.sampled_from(["\n", "\n\n", "\n \t\n"]),
)
def test_records_are_what_json_makes_of_each_line(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]], pad: list[str], end: str
) -> None:
    path = tmp_path_factory.mktemp("records") / "reviews.json.gz"
    lines = [pad[0] + json.dumps(record) + pad[1] for record in objects]
    path.write_bytes(gzip.compress(end.join(lines).encode()))
    step = end.count("\n")
    found = list(records(path, "utf-8"))
    assert [number for number, _ in found] == [1 + step * place for place in range(len(lines))]
    assert repr([record for _, record in found]) == repr([json.loads(line) for line in lines])


def test_options(tmp_path: Path) -> None:
    given = written(tmp_path, "2014", packed=True)
    assert rows(load(**given, repeats="last")) == {"U1": ["B1", "B2", "B3"], "U2": ["B1", "B2", "B3"]}
    assert rows(load(**given, repeats="all"))["U2"] == ["B2", "B1", "B3", "B2", "B3"]
    assert rows(load(**given, max_users=1)) == {"U1": FIRST["U1"]}
    # under 3 stars fall U1's B2 and U2's second B3: two items are left to U1, and no repeat changes U2
    assert rows(load(**given, min_rating=3)) == {"U2": FIRST["U2"]}
    # under 4 falls U2's B2 of day 2 as well, so that its first is that of day 9
    assert rows(load(**given, min_rating=4)) == {"U2": ["B1", "B3", "B2"]}
    assert rows(load(**given | {"k_core": 2})) == FIRST
    with pytest.raises(UserError, match="no user has 3 items left of 10 interactions under k_core 3"):
        load(**given | {"k_core": 3})
    assert load(**given | {"metadata": None}).items["title"].to_list() == ["", "", ""]


def test_files_and_interface(tmp_path: Path) -> None:
    given = written(tmp_path, "2018", packed=True)
    source = AmazonReviewsSource(AmazonReviewsConfig.model_validate(given), Env())
    assert isinstance(source, DataSource)
    assert list(source.files()) == [given["reviews"], given["metadata"]]
    config = AmazonReviewsConfig(reviews=tmp_path / "review.json.gz")
    assert config.k_core == 5
    assert config.repeats == "first"
    with pytest.raises(UserError, match=r"no such file; did you mean 'reviews.json.gz'"):
        AmazonReviewsSource(config, Env()).files()


GOOD = json.dumps(old("U1", "B1", 1, 5.0)) + "\n"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (GOOD + GOOD[:40], {}, ":2: is neither a JSON object nor a Python literal; is the file complete?"),
        (GOOD + "[1, 2]\n", {}, ":2: expected an object, got '[1, 2]'"),
        ("__import__('os').getcwd()\n", {}, ":1: is neither a JSON object nor a Python literal"),
        ("[" * 5000 + "\n", {}, ":1: is neither a JSON object nor a Python literal"),
        (GOOD + '{"a": ' + "1" * 5000 + "}\n", {}, ":2: is neither a JSON object nor a Python literal"),
        (
            '{"asin": "B1", "title": "x"}\n',
            {},
            ":1: is no Amazon review: expected user_id, parent_asin, timestamp (2023) or "
            "reviewerID, asin, unixReviewTime (2014, 2018), got asin, title",
        ),
        (GOOD, {"release": "2023"}, ":1: has no field 'user_id'; "),
        (GOOD + GOOD.replace("asin", "assin"), {}, ":2: has no field 'asin'; did you mean 'assin'?"),
        (GOOD + GOOD.replace('"B1"', "null"), {}, ":2: asin: expected an id, got None"),
        (GOOD.replace('"U1"', '""'), {}, ":1: reviewerID: expected an id, got ''"),
        (GOOD.replace("U1", "\\ud800"), {}, ":1: reviewerID: expected an id, got '\\ud800'"),
        (GOOD.replace("86400", "NaN"), {}, ":1: unixReviewTime: expected a number, got nan"),
        (GOOD.replace("86400", "true"), {}, ":1: unixReviewTime: expected a number, got True"),
        (GOOD.replace("86400", '"1"'), {}, ":1: unixReviewTime: expected a number, got '1'"),
        (GOOD.replace("86400", "1" + "0" * 400), {}, ":1: unixReviewTime: expected a number, got 1000"),
        (GOOD.replace("5.0", "null"), {"min_rating": 3}, ":1: overall: expected a number, got None"),
        ("\n\n", {}, ": holds no line but blank ones"),
        ("", {}, ": is empty"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, options: dict[str, object], expected: str) -> None:
    path = tmp_path / "reviews.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load(reviews=path, **options)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{path}{expected}")


def test_a_file_cut_while_it_was_fetched(tmp_path: Path) -> None:
    given = written(tmp_path, "2014", packed=True)
    whole = given["reviews"].read_bytes()
    given["reviews"].write_bytes(whole[:-12])
    with pytest.raises(UserError, match=r"reviews.json.gz:\d+: the gzip data are cut short"):
        load(**given)


def test_metadata_of_something_else(tmp_path: Path) -> None:
    given = written(tmp_path, "2014", packed=False)
    given["metadata"].write_text('{"asin": "C1"}\n')
    with pytest.raises(
        UserError, match=r"metadata.jsonl: holds none of the 3 items of the reviews, such as 'B1'"
    ):
        load(**given)
    given["metadata"].write_text('{"asin": "B1"}\n{"asn": "B2"}\n')
    with pytest.raises(UserError, match=r"metadata.jsonl:2: has no field 'asin'; did you mean 'asn'"):
        load(**given)


def test_a_literal_is_read_as_data_alone() -> None:
    line = "{'asin': u'B1', 'title': 'It\\'s', 'price': 1.5, 'sold': True}"
    assert parse(Path("x"), 1, line) == {"asin": "B1", "title": "It's", "price": 1.5, "sold": True}
