"""Files that can be read, and do not mean what their owner thinks: the right value, or the right line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


@every
def test_sound_files_raise_no_line(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND)
    assert told(use, **options) == []
    assert [item for items in sequences(load(use, **options)).values() for item in items][:5] == (
        ["0", "1", "2", "3", "4"] if use == "lcrec" else ["i0", "i1", "i2", "i3", "i4"]
    )


@timed
def test_ties_are_told_and_drawn_by_the_seed_whatever_the_order_of_the_file(
    tmp_path: Path, use: str, write: Any
) -> None:
    days = [(user, item, FIRST + (time - FIRST) // 2000 * 86_400) for user, item, time in SOUND]
    options = write(tmp_path, sorted(days, key=lambda row: row[1]))
    (line,) = told(use, **options)
    assert line.startswith("32 of 40 interactions have the same time as one of their user with another item")
    assert "8 of 8 validation, 0 of 8 test" in line
    assert "'ties: random'" in line
    assert told(use, **options, ties="random") == []
    by_item = sequences(load(use, **options, ties="random"))
    shuffled = [days[n] for n in np.random.default_rng(0).permutation(len(days))]
    assert sequences(load(use, **write(tmp_path, shuffled), ties="random")) == by_item
    assert sequences(load(use, **write(tmp_path, shuffled), ties="random", seed=1)) != by_item
    assert sequences(load(use, **write(tmp_path, shuffled))) != by_item
    assert {user: sorted(items) for user, items in by_item.items()} == {
        user: sorted(items) for user, items in sequences(load(use, **options)).items()
    }
    # what is not tied stays where it is
    assert [items[-1] for items in by_item.values()] == [f"i{(n + 4) % 8}" for n in range(8)]


def test_no_place_in_a_tie_is_likelier_than_another(tmp_path: Path) -> None:
    """Of 400 users with the same three items at the same time, about a sixth has each order."""
    events = [(f"u{n}", item, FIRST) for n in range(400) for item in "abc"]
    options = csv_files(tmp_path, events) | {"items": None, "ties": "random"}
    orders = ["".join(items) for items in sequences(load("csv", **options)).values()]
    counts = [orders.count(order) for order in ("abc", "acb", "bac", "bca", "cab", "cba")]
    assert sum(counts) == 400
    assert sum((count - 400 / 6) ** 2 / (400 / 6) for count in counts) < 20.5  # chi-squared, p = 0.001


@every
def test_copies_are_told_and_dropped(tmp_path: Path, use: str, write: Any) -> None:
    copied = [row for n, row in enumerate(SOUND) for row in [row] * (1 + (n % 5 == 4))]
    options = write(tmp_path, copied)
    (line,) = told(use, **options)
    what = "with the item just before" if use == "lcrec" else "exact copies of another"
    assert line.startswith(f"8 of 48 interactions are {what}")
    assert "8 of 8 test targets are the item just before" in line
    assert "'copies: drop'" in line
    assert told(use, **options, copies="drop") == []
    once = load(use, **options, copies="drop")
    assert once.reading.left_out["copies"].interactions == 8
    assert sequences(once) == sequences(load(use, **write(tmp_path, SOUND)))


def test_genuine_reorders_are_no_copies(tmp_path: Path) -> None:
    again = [*SOUND, *((user, "i7", FIRST + 10**8) for user in ("u3", "u4"))]
    options = csv_files(tmp_path, again)
    data = load("csv", **options, copies="drop")
    assert len(data.sequences.items) == 42
    (line,) = told("csv", **options)
    assert line.startswith("2 of 8 test targets stand in the user's own history")


def test_untimed_copies_are_items_twice_in_a_row(tmp_path: Path) -> None:
    events = [(user, item, 0) for user, item, _ in SOUND for _ in range(1 + (item == "i3"))]
    options = csv_files(tmp_path, events) | {"time": None}
    assert "'copies: drop'" in told("csv", **options)[0]
    assert len(load("csv", **options, copies="drop").sequences.items) == 40


@timed
def test_two_units_of_time_are_refused(tmp_path: Path, use: str, write: Any) -> None:
    write(tmp_path, SOUND)
    new = use == "amazon_reviews" and "timestamp" in (tmp_path / "r.json").read_text()
    early, late = (1000, 10**6) if new else (1000, 1)
    mixed = [(u, i, t * (early if n % 5 < 3 else late)) for n, (u, i, t) in enumerate(SOUND)]
    line = refused(use, **write(tmp_path, mixed))
    head = 2 if use in ("csv", "recbole") else 1
    assert f":{head + 3}: its time " in line
    assert f":{head}, {mixed[0][2]}, in milliseconds" in line


def test_iso_times_count_as_seconds(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    log = tmp_path / "log.csv"
    log.write_text(log.read_text() + "u9,i1,2021-01-01\nu9,i2,2021-01-02\nu9,i3,2021-01-03\n")
    assert told("csv", **options) == []
    log.write_text(log.read_text() + "u9,i4,1640000000000\n")
    assert "log.csv:45: its time 1640000000000 is in milliseconds" in refused("csv", **options)


@timed
def test_times_that_are_absent_are_told(tmp_path: Path, use: str, write: Any) -> None:
    zero = [(u, i, 0 if n == 7 else t) for n, (u, i, t) in enumerate(SOUND)]
    (line,) = told(use, **write(tmp_path, zero))
    assert line.startswith("1 of 40 times are no dates as the others are")
    assert f":{8 + (use in ('csv', 'recbole'))}, say" in line


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_rows_that_are_newest_first(tmp_path: Path, use: str, write: Any) -> None:
    options = write(tmp_path, SOUND[::-1])
    (line,) = told(use, **options, time=None)
    column = "timestamp" if use == "recbole" else "time"
    assert line.startswith("rows are taken as oldest first ('time: null'), but 100% of a user's steps")
    assert f"set 'time: {column}'" in line
    assert told(use, **write(tmp_path, SOUND), time=None) == []


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


@pytest.mark.parametrize(("use", "write"), TIMED[:2], ids=IDS[:2])
def test_a_time_that_is_a_rating(tmp_path: Path, use: str, write: Any) -> None:
    rated = [(u, i, 1 + n % 4) for n, (u, i, _) in enumerate(SOUND)]
    (line,) = told(use, **write(tmp_path, rated))
    assert line.endswith("there are but 4 different times: is 'time' the right column?")


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
    assert "items.csv:1: has no column 'item' (option 'item'); valid:   ;" in refused("csv", **options)


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


def test_item_columns_that_differ_by_file(tmp_path: Path) -> None:
    options = csv_files(tmp_path, SOUND)
    items = tmp_path / "items.csv"
    items.write_text(items.read_text().replace("item,", "sku,", 1))
    assert "items.csv:1: has no column 'item' (option 'item')" in refused("csv", **options)
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
