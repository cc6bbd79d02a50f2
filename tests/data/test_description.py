"""A data set's description, against counts made one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.reading import Counts, Reading
from lasar_kit.core.sources.items import ItemText, item_table
from lasar_kit.data import described, stored_dataset
from lasar_kit.data.description import describe
from lasar_kit.data.doubts import doubts
from lasar_kit.spec import ComponentConfig

Rows = list[list[tuple[int, int]]]
ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=3, max_size=8), min_size=1, max_size=6
)
ALL = ("copies", "ties", "repeats", "k_core", "title", "features")


def made(rows: Rows, reading: Reading = Reading(), titles: list[str] | None = None) -> Dataset:  # noqa: B008
    """Users who take items at times, in order of time; six items."""
    rows = [sorted(row, key=lambda pair: pair[1]) for row in rows]
    times = np.array([time for row in rows for _, time in row], dtype=float)
    titles = titles or [f"title {n}" for n in range(6)]
    text = {str(n): ItemText(title=title) for n, title in enumerate(titles)}
    return Dataset(
        tuple(f"u{n}" for n in range(len(rows))),
        item_table([str(n) for n in range(len(titles))], text),
        Sequences.of([[item for item, _ in row] for row in rows]),
        reading=replace(reading, times=times),
    )


@given(ROWS)
def test_counts(rows: Rows) -> None:
    data = made(rows)
    rows = [sorted(row, key=lambda pair: pair[1]) for row in rows]
    facts = describe(data)
    items = [[item for item, _ in row] for row in rows]
    trained = {item for row in items for item in row[:-2]}
    assert facts["interactions"] == sum(map(len, rows))
    assert facts["samples"] == {
        "training": sum(len(row) - 3 for row in rows),
        "validation": len(rows),
        "test": len(rows),
    }
    assert facts["repeats"] == sum(len(row) - len(set(row)) for row in items)
    assert facts["sparsity"] == 1 - sum(len(set(row)) for row in items) / (len(rows) * 6)
    assert facts["copies"] == sum(len(row) - len(set(row)) for row in rows)
    assert facts["in_a_row"] == sum(a == b for row in items for a, b in pairwise(row))

    def tied(row: list[tuple[int, int]], place: int) -> bool:
        return len({item for item, time in row if time == row[place][1]}) > 1

    assert facts["ties"]["interactions"] == sum(tied(row, n) for row in rows for n in range(len(row)))
    for split, place in (("validation", -2), ("test", -1)):
        assert facts["ties"][split] == sum(tied(row, place) for row in rows)
        assert facts["targets"][split] == {
            "in_history": sum(row[place] in row[:place] for row in items),
            "same_as_last": sum(row[place] == row[place - 1] for row in items),
            "untrained": sum(row[place] not in trained for row in items),
        }
    assert facts["untrained_items"] == 6 - len(trained)


def test_sizes() -> None:
    facts = describe(made([[(n, n) for n in range(3)], [(n, n) for n in range(5)]]))
    assert (facts["users"], facts["items"], facts["sparsity"]) == (2, 6, 1 - 8 / 12)
    assert facts["lengths"] == {"min": 3, "mean": 4.0, "median": 4.0, "max": 5}


def test_cuts_say_what_is_held_out() -> None:
    data = made([[(0, 0), (1, 1), (0, 2), (2, 3)], [(3, 0), (3, 1), (3, 2)]])
    facts = describe(replace(data, cuts=np.array([[2, 4], [3, 3]])))
    assert facts["samples"] == {"training": 3, "validation": 1, "test": 0}
    assert facts["targets"]["validation"]["in_history"] == 1


def test_text_is_counted_as_it_is_read() -> None:
    facts = describe(
        made([[(0, 0), (1, 1), (2, 2)]], titles=["a", "<br>", "<script>x()</script>", " &nbsp;"])
    )
    assert facts["text"]["fields"]["title"] == 1
    assert facts["text"]["none"] == 3


def test_nothing_is_known_of_times_that_were_not_read() -> None:
    data = replace(made([[(0, 0), (0, 1), (1, 2)]]), reading=Reading())
    facts = describe(data)
    assert (facts["ties"], facts["copies"], facts["in_a_row"], facts["found"]) == (None, None, 1, None)


SOUND: Rows = [[((user + n) % 6, n) for n in range(5)] for user in range(6)]
COPIED: Rows = [[*row, row[-1]] for row in SOUND]
TIED: Rows = [[(item, time // 2) for item, time in row] for row in SOUND]
AGAIN: Rows = [[*row, (row[0][0], 9)] for row in SOUND]
QUESTION = ": is 'title' the right column?"


@pytest.mark.parametrize(
    ("rows", "reading", "told"),
    [
        (SOUND, Reading(), []),
        (COPIED, Reading(), ["6 of 36 interactions are exact copies", "'copies: drop'"]),
        (TIED, Reading(), ["24 of 30 interactions", "0 of 6 test", "'ties: random'"]),
        (TIED, Reading(ties_drawn=True), []),
        (AGAIN, Reading(), ["6 of 6 test targets stand in the user's own history", "'repeats: first'"]),
        (SOUND, Reading(remarks=("of the source",)), ["of the source"]),
    ],
)  # fmt: skip
def test_what_bites_is_told(rows: Rows, reading: Reading, told: list[str]) -> None:
    data = made(rows, reading)
    lines = doubts(data, describe(data), ALL)
    assert len(lines) == bool(told)
    assert [words for words in told if words not in lines[0]] == []
    bare = doubts(data, describe(data), ())
    assert not told or reading.remarks or told[-1] not in bare[0]


@pytest.mark.parametrize(
    ("titles", "reading", "told"),
    [
        (
            ["", "", *map(str, "abcd")],
            Reading(item_file="x.csv", unused=("name", "group"), without_row=1),
            "2 of 6 items have no text; x.csv lacks 1 of them; x.csv has name, group: set 'title', "
            "'features'",
        ),
        ([""] * 6, Reading(), None),
        ([""] * 6, Reading(item_file="x.csv"), "6 of 6 items have no text"),
        ([str(n) for n in range(30)], Reading(), "30 of 30 titles are numbers, such as '0'" + QUESTION),
        (["a", "b"] * 15, Reading(), "30 titles have 2 different values" + QUESTION),
    ],
)  # fmt: skip
def test_texts_are_told(titles: list[str], reading: Reading, told: str | None) -> None:
    data = made(SOUND, reading, titles)
    assert doubts(data, describe(data), ALL) == ([told] if told else [])


def test_prices_that_are_words() -> None:
    data = made(SOUND)
    text = {str(n): ItemText(title=f"t{n}", price=f"a soap, number {n}") for n in range(25)}
    data = replace(data, items=item_table([str(n) for n in range(25)], text))
    assert doubts(data, describe(data), ALL) == ["25 of 25 prices are no numbers, such as 'a soap, number 0'"]


def test_targets_that_nobody_has_in_training() -> None:
    rows: Rows = [[(0, 0), (1, 1), (2 + user, 2)] for user in range(25)]
    data = made(rows, titles=[f"title {n}" for n in range(40)])
    assert doubts(data, describe(data), ALL) == [
        "25 of 25 test targets are items that nobody has in training; 'k_core' leaves out rare items"
    ]


class Options(ComponentConfig):
    copies: str = "keep"


def test_it_is_stored_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made(
        [[*row, row[-1]] for row in SOUND],
        Reading(found=Counts(9, 9, 99), left_out={"k_core": Counts(3, 2, 50), "repeats": Counts(0, 0, 13)}),
    )
    facts = described.described(data, Options(use="x"))
    described.save(facts, tmp_path)
    assert described.load(tmp_path) == facts == json.loads((tmp_path / "dataset.json").read_text())
    assert described.load(tmp_path / "none") == {}
    described.show(facts, described.Screen())
    shown = capsys.readouterr().out.splitlines()
    assert shown[:4] == [
        "  6 users, 6 items, 36 interactions",
        "  6 to 6 items a user, 6.0 on average; 18 samples to train on, 6 to test",
        "  text: title 6 items",
        "  left out: 50 interactions by the k-core (3 users, 2 items); 13 interactions by repeats",
    ]
    assert [line[:45] for line in shown[4:]] == ["  warning: dataset: 6 of 36 interactions are "]
    stored_dataset.save(data, tmp_path)
    assert stored_dataset.load(tmp_path).reading == Reading()
