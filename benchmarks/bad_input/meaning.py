"""Data that can be read, and do not mean what their owner thinks: each kind of fault must be told."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from bad_input.formats import FORMATS, Row
from bad_input.harness import Case, Files, spec_file

_TABLES = ("csv", "parquet", "recbole")
_AMAZON = ("amazon 2014", "amazon 2023")
_TIMED = (*_TABLES, *_AMAZON)
_WORDS = ["red", "green", "blue", "tall", "round", "soap", "cup", "lamp", "jar", "tea", "pen", "oil", "ink"]


@dataclass
class Data:
    """Rows of a sound data set, the options of its source, and what is to be said of it."""

    group: str
    interactions: list[Row]
    items: list[Row]
    draw: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    mend: dict[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    refused: bool = False
    files: Files = field(default_factory=dict)

    def histories(self) -> dict[str, list[Row]]:
        """Rows of each user, oldest first."""
        found: dict[str, list[Row]] = {}
        for row in self.interactions:
            found.setdefault(row["user"], []).append(row)
        return found


def _sound(group: str, seed: int) -> Data:
    """Users who take different items at different times, user by user; every item has a title."""
    draw = random.Random(seed)
    items = [
        {
            "item": f"i{n}",
            "title": f"{draw.choice(_WORDS)} {draw.choice(_WORDS)} no {n}",
            "price": f"{n + 1}.50",
        }
        for n in range(draw.randint(20, 30))
    ]
    unit = draw.choice([1, 1000]) if group != "amazon 2023" else 1000
    rows: list[Row] = []
    for user in range(draw.randint(24, 40)):
        time = 1_500_000_000 + draw.randrange(10**7)
        for row in draw.sample(items, draw.randint(6, 9)):
            time += draw.randint(1, 10**6)
            rows.append({"user": f"u{user}", "item": row["item"], "time": time * unit})
    missing = {row["item"] for row in items} - {row["item"] for row in rows}
    items = [row for row in items if row["item"] not in missing]
    if group == "lcrec":  # whose ids have no gap
        new = {row["item"]: f"i{n}" for n, row in enumerate(items)}
        items = [{**row, "item": new[row["item"]]} for row in items]
        rows = [{**row, "item": new[row["item"]]} for row in rows]
    return Data(group, rows, items, draw)


def _copies(data: Data) -> None:
    data.interactions = [
        copy for row in data.interactions for copy in [row] * (1 + (data.draw.random() < 0.3))
    ]
    data.interactions.insert(0, data.interactions[0])
    if data.group in _AMAZON:
        data.options["repeats"] = "all"
    data.told = ("just before" if data.group == "lcrec" else "exact copies", "copies: drop")
    data.mend = {"copies": "drop"}


def _ties(data: Data) -> None:
    for rows in data.histories().values():
        for before, row in zip(rows[:-1:2], rows[1::2], strict=False):
            row["time"] = before["time"]
    data.told, data.mend = ("same time", "ties: random"), {"ties": "random"}


def _units(data: Data) -> None:
    switch = data.draw.randrange(1, len(data.interactions) - 1)
    factor = data.draw.choice(
        [1000, 10**6, 10**9] if data.interactions[0]["time"] < 10**11 else [10**3, 10**6]
    )
    if data.group in _AMAZON:
        factor = 1000  # larger numbers are refused as such
    for row in data.interactions[switch:]:
        row["time"] *= factor
    data.refused, data.told = True, ("one unit is expected", "seconds")


def _absent_times(data: Data) -> None:
    for row in data.draw.sample(data.interactions, 5):
        row["time"] = 0
    data.told = ("5 of ", "no dates as the others")


def _swapped_ids(data: Data) -> None:
    data.options |= {"user": "item", "item": "user", "item_in_items": "item"}
    data.refused, data.told = True, ("swap 'user' and 'item'",)


def _swapped_ids_alone(data: Data) -> None:
    data.options |= {"user": "item", "item": "user", "items": None}
    data.told = ("swap 'user' and 'item'",)


def _swapped_texts(data: Data) -> None:
    data.options |= {"title": "price", "price": "title"}
    data.told = ("titles are numbers", "prices are no numbers")


def _shifted(data: Data) -> None:
    """Interactions count items from 1, texts from 0."""
    for row in data.interactions:
        row["item"] = f"i{int(row['item'][1:]) + 1}"
    if data.group == "lcrec":
        data.items.append({"item": f"i{len(data.items)}", "title": "one more of them"})
        data.told = ("counted from 1",)
        return
    data.items = [row for row in data.items if any(row["item"] == one["item"] for one in data.interactions)]
    data.refused, data.told = data.group in _TABLES, ("lacks",)


def _missing_texts(data: Data) -> None:
    for row in data.draw.sample(data.items, len(data.items) // 3):
        row["title"], row["price"] = data.draw.choice(["", " ", "<br>", "<script>x()</script>"]), ""
    data.told = ("items have no ",)


def _other_names(data: Data) -> None:
    data.items = [{"item": row["item"], "name": row["title"]} for row in data.items]
    data.told, data.mend = ("items have no text", "has name", "'title'"), {"title": "name"}


def _missing_rows(data: Data) -> None:
    data.items = data.items[: len(data.items) // 2]
    if data.group in _TABLES:
        data.options["missing_items"] = "empty"
    data.told = ("items have no text", "lacks")


def _newest_first(data: Data) -> None:
    data.interactions.reverse()
    data.options["time"] = None
    data.told, data.mend = ("go back in time", "time: time"), {"time": "time"}


def _no_header(data: Data) -> None:
    data.refused, data.told = True, ("looks like data", "columns: [")
    data.mend = {"columns": ["user", "item", "time"]}


def _other_separator(data: Data) -> None:
    data.refused, data.told, data.mend = True, ("one column only", "';'"), {"separator": ";", "items": None}


def _other_encoding(data: Data) -> None:
    data.items[0]["title"] = "café noir"
    data.refused, data.told, data.mend = True, ("not UTF-8", "'encoding'"), {"encoding": "latin-1"}


def _none(data: Data) -> None:
    pass


FAULTS: dict[str, tuple[Callable[[Data], None], tuple[str, ...]]] = {
    "copies of rows": (_copies, (*_TIMED, "lcrec")),
    "ties in time": (_ties, _TIMED),
    "two units of time": (_units, _TIMED),
    "times that are absent": (_absent_times, _TIMED),
    "swapped users and items": (_swapped_ids, _TABLES),
    "swapped users and items, no texts": (_swapped_ids_alone, ("csv", "parquet")),
    "swapped texts": (_swapped_texts, _TABLES),
    "shifted index": (_shifted, (*_TIMED, "lcrec")),
    "missing texts": (_missing_texts, (*_TIMED, "lcrec")),
    "texts under other names": (_other_names, _TABLES),
    "missing rows of texts": (_missing_rows, _TIMED),
    "newest first": (_newest_first, _TABLES),
    "no header": (_no_header, ("csv",)),
    "another separator": (_other_separator, ("csv",)),
    "another encoding": (_other_encoding, ("csv", "recbole")),
}


def _written(data: Data, label: str) -> tuple[Files, dict[str, Any]]:
    files, dataset = FORMATS[data.group](data.interactions, data.items)
    if label == "no header":
        files["log.csv"] = files["log.csv"].partition(b"\n")[2]
    if label == "another separator":
        files["log.csv"] = files["log.csv"].replace(b",", b";")
    if label == "another encoding":
        files = {name: text.decode().encode("latin-1") for name, text in files.items()}
    return files, dataset


@st.composite
def planted(draw: st.DrawFn, label: str) -> Case:
    """A drawn data set with a fault of one kind, or without; where an option mends it, nothing is told."""
    plant, groups = FAULTS.get(label, (_none, tuple(sorted(FORMATS))))
    data = _sound(draw(st.sampled_from(groups)), draw(st.integers(0, 2**32)))
    plant(data)
    files, dataset = _written(data, label)
    dataset |= data.options
    mended = bool(data.mend) and draw(st.integers(0, 3)) == 0
    if mended:
        dataset |= data.mend
    spec = {"dataset": dataset, "stages": {"tokenize": {"use": "tokenize"}}}
    return Case(
        data.group,
        f"means something else: {label}" if label != "clean" else "clean",
        ("data", "describe", "s.yaml"),
        {**files, "s.yaml": spec_file(spec)},
        "refused" if data.refused and not mended else "accepted",
        note="mended" if mended else "",
        told=() if mended else data.told,
    )
