"""Users in groups, against a data set counted by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.data import stored_dataset
from lasar_kit.report import groups
from lasar_kit.report.answers import Answers


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Training parts are all but the last two: [0], [0, 0], [0, 1, 2]; test targets 2, 3, 0."""
    rows = [[0, 1, 2], [0, 0, 1, 3], [0, 1, 2, 1, 0]]
    names = ("id", "title", "brand", "categories", "description", "price", "features")
    items = pl.DataFrame({name: [f"{name}{n}" for n in range(4)] for name in names})
    folder = tmp_path / "stages" / "dataset"
    folder.mkdir(parents=True)
    stored_dataset.save(Dataset(("a", "b", "c"), items, Sequences.of(rows)), folder)
    return tmp_path


def test_groups_are_those_of_the_users_that_were_asked(run: Path) -> None:
    history, popularity, cold = groups.groupings(run, "test", ["c", "a", "b"])
    assert (history.labels, history.group.tolist()) == (("2", "3", "4"), [2, 0, 1])
    assert cold.labels == ("cold", "warm")
    assert cold.group.tolist() == [1, 1, 0], "item 3 was never bought in training"
    assert popularity.labels == ("1", "4")
    assert popularity.group.tolist() == [1, 0, groups.NOBODY], "item 0 four times, item 2 once"
    assert cold.tells
    assert not groups.groupings(run, "test", ["c"])[0].tells
    validation = groups.groupings(run, "validation", ["a", "b", "c"])
    assert validation[0].labels == ("1", "2", "3")


def test_a_table_holds_the_means_of_each_group(run: Path) -> None:
    hit = {"ndcg@10": np.array([1.0, 0.5, 0.0])}
    model = Answers("e", "M", ("a", "b", "c"), ("2", "3", "0"), np.array([1, 2, 2]),
                    {"history_in": {None: hit, "knn": {"ndcg@10": np.zeros(3)}}}, True)  # fmt: skip
    grid = groups.grouped(groups.by_depth(model), [model], "history_in", "ndcg@10", "t")
    assert [column.name for column in grid.columns] == ["model", "1", "2"]
    cells = {row.cells[0]: row.cells[1:] for row in grid.rows}
    assert cells["users"] == (1, 2)
    assert [cell.value for cell in cells["M"]] == [1.0, 0.25]  # type: ignore[union-attr]
    assert [cell.value for cell in cells["knn"]] == [0.0, 0.0]  # type: ignore[union-attr]
    assert cells["M"][0].low is None, "one user says nothing of others"  # type: ignore[union-attr]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_quartiles_are_in_order_and_nobody_is_lost(values: list[int]) -> None:
    labels, group = groups.quartiles(np.array(values))
    assert 1 <= len(labels) <= 4
    assert set(group.tolist()) == set(range(len(labels)))
    order = np.argsort(values, kind="stable")
    assert (np.diff(group[order]) >= 0).all()
    for label, place in zip(labels, range(len(labels)), strict=True):
        own = np.array(values)[group == place]
        low, _, high = label.partition(" to ")
        assert (own.min(), own.max()) == (int(low), int(high or low))
