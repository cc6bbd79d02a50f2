"""Semantic IDs of items that come after the catalogue, told apart from it by the rule of the catalogue."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.stages.tokenize.newcomers import ENCODER, Newcomers, Taken

SIZES = (2, 3, 4)


class Given:
    """An encoder: the number in an item's title, on a line."""

    embeds_later = True

    def embed(self, items: pl.DataFrame) -> np.ndarray:
        return items["title"].cast(pl.Float32).to_numpy()[:, None]


class Places:
    """A quantizer: the whole number nearest to an item, written in the bases 2, 3 and 4."""

    sizes = SIZES

    def encode(self, items: torch.Tensor) -> torch.Tensor:
        number = items[:, 0].round().long()
        return torch.stack([number // 12, number // 4 % 3, number % 4], dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes * torch.tensor([12, 4, 1])).sum(1, keepdim=True).float()


def items(numbers: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [f"n{place}" for place in range(len(numbers))], "title": list(map(str, numbers))},
        schema_overrides={"title": pl.String},
    )


def newcomers(rule: Any, sizes: tuple[int, ...] = SIZES) -> Newcomers:
    return Newcomers(Given(), Places(), rule, sizes)  # type: ignore[arg-type]


def codes_of(rule: Newcomers, numbers: list[float], taken: list[list[int]]) -> list[list[int]]:
    new = items(numbers)
    in_use = Taken(np.array(taken))
    return rule.codes(new["id"].to_list(), rule.embed(new), in_use).tolist()  # type: ignore[no-any-return]


def number(codes: list[int]) -> int:
    return codes[0] * 12 + codes[1] * 4 + codes[2]


@given(
    taken=st.sets(st.integers(0, 23), min_size=1, max_size=20),
    new=st.lists(st.floats(0, 23, width=16), max_size=4),
)
def test_a_newcomer_moves_to_the_nearest_free_one_of_its_prefix(taken: set[int], new: list[float]) -> None:
    """By hand: of its own four, else of the twelve that share its first code, else of all."""
    codes = [[n // 12, n // 4 % 3, n % 4] for n in taken]
    found = [number(row) for row in codes_of(newcomers("reassign"), new, codes)]
    in_use = set(taken)
    for value, chosen in zip(new, found, strict=True):
        own = round(value)
        wanted = next(
            {n for n in range(24) if n // block == own // block} - in_use
            for block in (1, 4, 12, 24)
            if {n for n in range(24) if n // block == own // block} - in_use
        )
        assert abs(chosen - value) == min(abs(n - value) for n in wanted)
        assert chosen in wanted
        in_use.add(chosen)


def test_a_full_catalogue_says_so_of_each() -> None:
    codes = [[*row] for row in product(range(2), range(3), range(4))]
    with pytest.raises(UserError) as told:
        codes_of(newcomers("reassign"), [3, 5], codes)
    assert [line.split(":")[0] for line in told.value.lines] == ["item 'n0'", "item 'n1'"]


def test_a_suffix_is_the_lowest_that_is_free_and_ends_where_the_level_does() -> None:
    rule = newcomers("suffix", (*SIZES, 3))
    taken = [[0, 0, 1, 0], [0, 0, 1, 2], [1, 0, 0, 0]]
    assert codes_of(rule, [1, 2, 2], taken) == [[0, 0, 1, 1], [0, 0, 2, 0], [0, 0, 2, 1]]
    with pytest.raises(UserError, match="all 3 numbers of the level that 'collision: suffix' added"):
        codes_of(rule, [1, 1], taken)


def test_where_sharing_is_allowed_it_shares() -> None:
    assert codes_of(newcomers("allow"), [1, 1], [[0, 0, 1]]) == [[0, 0, 1]] * 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=12), st.data())
def test_what_is_taken_below_a_prefix(rows: list[tuple[int, ...]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    taken = Taken(np.array(rows[:cut], dtype=np.int64).reshape(-1, 3))
    taken.add(np.array(rows[cut:], dtype=np.int64).reshape(-1, 3))
    prefix = data.draw(st.lists(st.integers(0, 2), max_size=3))
    found = sorted(map(tuple, taken.below(prefix).tolist()))
    assert found == sorted(row for row in rows if list(row[: len(prefix)]) == prefix)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"text_encoder": "cooccurrence"}, "text_encoder cooccurrence: embeds no item by its fields alone"),
        ({"quantizer": "item_id"}, "quantizer item_id: has codes for the items that it was fitted on alone"),
        ({"quantizer": "hybrid"}, "quantizer hybrid: has codes for the items"),
        (
            {"text_encoder": {"use": "concat", "encoders": [{"encoder": "cooccurrence"}]}},
            "text_encoder concat: embeds no item",
        ),
        ({}, "holds no fitted text encoder, as an earlier version"),
    ],
)
def test_what_has_no_codes_for_later_items_says_so(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    catalogue = Catalogue.discover()
    config = catalogue.config_class("stage", "tokenize").model_validate(
        {"use": "tokenize", **options}, context={"catalogue": catalogue}
    )
    assert not (tmp_path / ENCODER).exists()
    with pytest.raises(UserError, match=told) as error:
        Newcomers.load(tmp_path, config, (2, 2), Env(catalogue=catalogue))
    assert len(error.value.lines) == 1
