"""Items that training goes without: what is held out, who is asked, and what comes of it in a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset, Sequences
from lasar_kit.core.reading import Reading
from lasar_kit.data import stored_dataset
from lasar_kit.data.cold import Cold, hold_out
from lasar_kit.data.description import describe
from lasar_kit.data.sids import Sids, load_cold
from lasar_kit.errors import UserError
from lasar_kit.run import runner
from lasar_kit.spec import load_spec

SPEC = """
name: cold
dataset: {use: demo, users: 60, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 0.5, eval_users: 5, eval_width: 10, score: trie}
  evaluate: {use: evaluate, cold: 0.2, beside: [popularity]}
"""


def shop(rows: list[list[int]], items: int = 6) -> Dataset:
    columns = {name: [f"{name}{n}" for n in range(items)] for name in ITEM_COLUMNS}
    table = pl.DataFrame(columns | {"id": [f"i{n}" for n in range(items)]})
    return Dataset(tuple(f"u{n}" for n in range(len(rows))), table, Sequences.of(rows))


def test_times_go_with_what_is_held_out() -> None:
    """A data set that is described tells of the interactions that it has."""
    whole = shop([[0, 1, 2, 3, 4], [1, 4, 1], [2, 3, 5, 0]])
    whole = replace(whole, reading=Reading(times=np.arange(12.0)))
    warm, _ = hold_out(whole, ("i4", "i1"), 0)
    assert warm.reading.times is not None
    assert warm.reading.times.tolist() == [0, 2, 3, 8, 9, 10, 11]
    assert describe(warm)["ties"]["distinct_times"] == 7


def test_by_hand(tmp_path: Path) -> None:
    """Of six items, 1 and 4 are cold: rows 4 and 5 of seven behind the others, 0 2 3 5."""
    whole = shop([[0, 1, 2, 3, 4], [1, 4, 1], [2, 3, 5, 0], [5, 1, 4, 2]])
    warm, cold = hold_out(whole, ("i4", "i1"), 0)
    stored_dataset.save(warm, tmp_path)
    cold.save(tmp_path)
    warm, read = stored_dataset.load(tmp_path), Cold.load(tmp_path)
    assert read is not None
    assert warm.items["id"].to_list() == ["i0", "i2", "i3", "i5"]
    assert read.items["id"].to_list() == ["i1", "i4"]
    assert warm.users == ("u0", "u2", "u3")
    assert [row.tolist() for row in warm.sequences] == [[0, 1, 2], [1, 2, 3, 0], [3, 1]]
    # Of u0 training had 0 1 2 and validation 3; of u3 training had 5 1 and the test item is 2.
    assert [row.tolist() for row in warm.train] == [[0, 1], [1, 2], [3]]
    assert warm.cuts is not None
    assert warm.cuts.tolist() == [[2, 3], [2, 3], [1, 1]]
    test, validation = read.asked["test"], read.asked["validation"]
    assert (test.users.tolist(), test.target.tolist()) == ([0, -1], [5, 4])
    assert [row.tolist() for row in test.histories] == [[0, 4, 1, 2], [4, 5]]
    assert (validation.users.tolist(), validation.target.tolist()) == ([-1, 2], [5, 5])


@given(
    rows=st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=6), min_size=1, max_size=6),
    held=st.one_of(
        st.sets(st.sampled_from([f"i{n}" for n in range(6)]), min_size=1, max_size=5).map(
            lambda ids: tuple(sorted(ids))
        ),
        st.floats(0.01, 0.9),
    ),
)
def test_nothing_of_them_is_left_and_everybody_else_is(rows: list[list[int]], held: object) -> None:
    whole = shop(rows)
    try:
        warm, cold = hold_out(whole, held, 3)  # type: ignore[arg-type]
    except UserError:
        return
    ids = [*warm.items["id"], *cold.items["id"]]
    assert sorted(ids) == whole.items["id"].to_list()
    if isinstance(held, tuple):
        assert set(cold.items["id"]) == set(held)
    else:
        assert cold.items.height == max(1, round(held * 6))  # type: ignore[operator]
    gone = set(cold.items["id"])
    for user, row in zip(whole.users, rows, strict=True):
        kept = [f"i{item}" for item in row if f"i{item}" not in gone]
        assert (user in warm.users) == bool(kept)
        if kept:
            own = warm.users.index(user)
            assert [ids[item] for item in warm.sequences[own]] == kept
            trained = [f"i{item}" for item in row[:-2] if f"i{item}" not in gone]
            assert [ids[item] for item in warm.train[own]] == trained
    asked = {(tuple(ids[item] for item in history), ids[target]) for history, target in _cases(cold, "test")}
    assert asked == {
        (tuple(f"i{item}" for item in row[:-1]), f"i{row[-1]}") for row in rows if f"i{row[-1]}" in gone
    }


def _cases(cold: Cold, split: str) -> list[tuple[list[int], int]]:
    held = cold.asked[split]
    pairs = zip(held.histories, held.target, strict=True)
    return [(history.tolist(), int(target)) for history, target in pairs]


def test_ids_that_are_not_there_are_told() -> None:
    with pytest.raises(UserError, match="cold: the data set has no item 'i77'; ids look like 'i0'"):
        hold_out(shop([[0, 1, 2]]), ("i1", "i77"), 0)
    with pytest.raises(UserError, match="nobody would be left"):
        hold_out(shop([[0, 1, 2]]), ("i0", "i1", "i2"), 0)


def test_what_two_stages_hold_out_must_be_the_same(tmp_path: Path) -> None:
    file = tmp_path / "cold.yaml"
    file.write_text(SPEC + "  again: {use: evaluate, cold: [i1]}\n")
    with pytest.raises(UserError, match="evaluate and again hold out other items each"):
        load_spec(file, [], Catalogue.discover())
    file.write_text(SPEC)
    with pytest.raises(UserError, match="quantizer item_id has no codes for items that come later"):
        load_spec(file, ["stages.tokenize.quantizer=item_id"], Catalogue.discover())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cold")
    (folder / "cold.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "cold.yaml", [], catalogue), catalogue, folder / "run", True)
    return folder / "run"


def test_a_run_reports_them_apart(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model and its semantic IDs are of 48 items; the others come to them as new ones do."""
    cold = Cold.load(run / "stages/dataset")
    sids, codes = Sids.load(run / "stages/tokenize"), load_cold(run / "stages/tokenize")
    assert cold is not None
    assert codes is not None
    assert (len(sids.codes), len(codes)) == (48, 12)
    assert len({tuple(row) for row in [*sids.codes.tolist(), *codes.tolist()]}) == 60
    index = json.loads((run / "stages/tokenize/index.json").read_text())
    assert not set(index) & set(cold.items["id"])
    row = json.loads((run / "metrics.json").read_text())["evaluate"]
    told = row["cold"]
    assert told["items"] == 12
    assert told["cold"]["users"] == len(cold.asked["test"].target) > 0
    assert told["cold"]["users"] + told["warm"]["users"] == 60
    assert told["warm"]["users"] == row["users"]
    assert set(told["warm"]["history_in"]) == {*row["history_in"]} - {"baselines"}
    assert np.isfinite(told["cold"]["history_out"]["ndcg@10"])
    from lasar_kit.report.table import report

    report([run])
    out = " ".join(capsys.readouterr().out.split())
    assert (
        f"once 12 items that training went without have come: cold targets of {told['cold']['users']}" in out
    )
