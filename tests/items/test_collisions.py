"""Collision rules against a brute-force reading of them."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.errors import UserError
from lasar_kit.stages.tokenize.collisions import resolve


class Books:
    """A quantizer of given codebooks."""

    def __init__(self, *codebooks: torch.Tensor) -> None:
        self.codebooks = codebooks
        self.sizes = tuple(len(book) for book in codebooks)

    def fit(self, items: torch.Tensor) -> None: ...

    def encode(self, items: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return sum(self.codebooks[level][codes[:, level]] for level in range(codes.shape[1]))

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None: ...


def line(*points: float) -> torch.Tensor:
    return torch.tensor(points)[:, None]


TENS = Books(line(0, 10, 20), line(0, 1, 2))
"""Code (a, b) stands for the number 10 a + b."""


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Books, torch.Tensor, torch.Tensor]:
    """Random codebooks and items whose codes collide often, at most as many as leaves."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    count = draw(st.integers(1, min(prod(sizes), 24)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    books = Books(
        *(torch.randn(size, 2, generator=generator) / (level + 1) for level, size in enumerate(sizes))
    )
    used = [draw(st.integers(1, size)) for size in sizes]
    codes = torch.stack([torch.randint(0, top, (count,), generator=generator) for top in used], dim=1)
    return books, codes, torch.randn(count, 2, generator=generator)


def by_brute_force(books: Books, codes: torch.Tensor, items: torch.Tensor) -> list[tuple[int, ...]]:
    """The rule `reassign`, read literally: one item at a time, all leaves looked at each time."""

    def distance(item: int, code: tuple[int, ...]) -> float:
        point = sum(books.codebooks[level][value] for level, value in enumerate(code))
        return float((items[item] - point).double().square().sum())

    result = [tuple(row) for row in codes.tolist()]
    key = {item: (distance(item, code), item) for item, code in enumerate(result)}
    keepers = {min((i for i, c in enumerate(result) if c == code), key=key.get) for code in result}
    waiting = sorted(set(key) - keepers, key=key.get)
    taken = {result[item] for item in keepers}
    leaves = list(product(*(range(size) for size in books.sizes)))
    for prefix_length in range(len(books.sizes) - 1, -1, -1):
        left = []
        for item in waiting:
            prefix = result[item][:prefix_length]
            free = [leaf for leaf in leaves if leaf not in taken and leaf[:prefix_length] == prefix]
            if not free:
                left.append(item)
                continue
            result[item] = min(free, key=lambda leaf: distance(item, leaf))
            taken.add(result[item])
        waiting = left
    return result


@settings(deadline=None, max_examples=150)
@given(crowded())
def test_reassign_is_the_brute_force_rule(case: tuple[Books, torch.Tensor, torch.Tensor]) -> None:
    books, codes, items = case
    moved, sizes, report = resolve(codes, items, books, "reassign")
    assert sizes == books.sizes
    assert [tuple(row) for row in moved.tolist()] == by_brute_force(books, codes, items)
    assert report["moved"] == sum(a != b for a, b in zip(moved.tolist(), codes.tolist(), strict=True))


@settings(deadline=None)
@given(crowded())
def test_what_reassign_promises(case: tuple[Books, torch.Tensor, torch.Tensor]) -> None:
    books, codes, items = case
    before = codes.clone()
    moved, sizes, report = resolve(codes, items, books, "reassign")
    assert torch.equal(codes, before)
    found = [tuple(row) for row in moved.tolist()]
    assert len(set(found)) == len(found)
    assert all(0 <= code < size for row in found for code, size in zip(row, sizes, strict=True))
    old = [tuple(row) for row in codes.tolist()]
    holders = Counter(old)
    assert all(new == code for new, code in zip(found, old, strict=True) if holders[code] == 1)
    assert all(code in found for code in old)
    # A prefix loses only those items that it has no leaves for.
    prefixes = Counter(code[:-1] for code in old)
    left = Counter(code[:-1] for new, code in zip(found, old, strict=True) if new[:-1] != code[:-1])
    for prefix, count in prefixes.items():
        assert left[prefix] == max(0, count - sizes[-1])
    assert report["moved_out_of_prefix"] == left.total()
    assert report["items_sharing"] == sum(count for count in holders.values() if count > 1)
    assert report["groups"] == sum(count > 1 for count in holders.values())
    assert report["largest_group"] == max([count for count in holders.values() if count > 1], default=0)
    again, _, _ = resolve(codes, items, books, "reassign")
    assert torch.equal(again, moved)


def test_reassign_by_hand() -> None:
    # All three at 11; item 2 is nearest and stays, item 0 (distance 0.6) chooses before item 1 (0.7).
    codes = torch.tensor([[1, 1], [1, 1], [1, 1], [0, 0]])
    items = line(11.6, 11.7, 11.1, 0.0)
    moved, _, report = resolve(codes, items, TENS, "reassign")
    assert moved.tolist() == [[1, 2], [1, 0], [1, 1], [0, 0]]
    assert report == {
        "items_sharing": 3,
        "groups": 1,
        "largest_group": 3,
        "distinct": 2,
        "rule": "reassign",
        "moved": 2,
        "moved_out_of_prefix": 0,
    }


def test_a_full_prefix_overflows_to_the_nearest_free_pair() -> None:
    # Four items under prefix 1 with room for three: the farthest goes on to 20, the nearest leaf outside.
    codes = torch.tensor([[1, 2], [1, 2], [1, 2], [1, 2]])
    items = line(12.0, 12.1, 12.2, 14.0)
    moved, _, report = resolve(codes, items, TENS, "reassign")
    assert moved.tolist() == [[1, 2], [1, 1], [1, 0], [2, 0]]
    assert report["moved_out_of_prefix"] == 1


def test_of_equal_distances_the_first_item_stays_and_the_lowest_code_is_taken() -> None:
    codes = torch.tensor([[1, 1], [1, 1]])
    moved, _, _ = resolve(codes, line(11.0, 11.0), TENS, "reassign")
    assert moved.tolist() == [[1, 1], [1, 0]]


def test_all_items_at_one_leaf_fill_a_large_catalogue() -> None:
    generator = torch.Generator().manual_seed(0)
    books = Books(*(torch.randn(16, 4, generator=generator) for _ in range(3)))
    codes = torch.zeros(3_000, 3, dtype=torch.int64)
    moved, _, report = resolve(codes, torch.randn(3_000, 4, generator=generator), books, "reassign")
    assert len(moved.unique(dim=0)) == 3_000
    assert report["moved_out_of_prefix"] == 3_000 - 16
    assert int((moved[:, 0] == 0).sum()) == 256


def test_more_items_than_leaves() -> None:
    with pytest.raises(UserError) as caught:
        resolve(torch.zeros(10, 2, dtype=torch.int64), torch.zeros(10, 1), TENS, "reassign")
    assert caught.value.lines == (
        "collision reassign: 10 items, but levels of [3, 3] codes hold only 9: "
        "raise the quantizer's codes or levels",
    )


def test_suffix_numbers_those_that_share_by_distance() -> None:
    codes = torch.tensor([[1, 1], [0, 2], [1, 1], [1, 1]])
    found, sizes, report = resolve(codes, line(11.5, 2.0, 11.1, 10.8), TENS, "suffix")
    assert found.tolist() == [[1, 1, 2], [0, 2, 0], [1, 1, 0], [1, 1, 1]]
    assert sizes == (3, 3, 3)
    assert (report["largest_group"], report["moved"]) == (3, 0)


def test_suffix_without_collisions_is_one_code() -> None:
    found, sizes, report = resolve(torch.tensor([[0, 1], [1, 0]]), line(1.0, 10.0), TENS, "suffix")
    assert found.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert sizes == (3, 3, 1)
    assert report["groups"] == 0


@given(crowded())
def test_suffix_makes_every_sid_the_items_own(case: tuple[Books, torch.Tensor, torch.Tensor]) -> None:
    books, codes, items = case
    found, sizes, _ = resolve(codes, items, books, "suffix")
    assert torch.equal(found[:, :-1], codes)
    assert len(found.unique(dim=0)) == len(codes)
    assert sizes == (*books.sizes, int(found[:, -1].max()) + 1)


def test_suffix_needs_a_letter() -> None:
    books = Books(*(line(0.0) for _ in range(26)))
    with pytest.raises(UserError, match="26 levels leave no room"):
        resolve(torch.zeros(2, 26, dtype=torch.int64), line(0.0, 0.0), books, "suffix")


def test_allow_changes_nothing_but_counts() -> None:
    codes = torch.tensor([[1, 1], [1, 1], [0, 0]])
    found, sizes, report = resolve(codes, line(11.0, 11.0, 0.0), TENS, "allow")
    assert torch.equal(found, codes)
    assert sizes == (3, 3)
    assert (report["items_sharing"], report["groups"], report["largest_group"], report["moved"]) == (
        2,
        1,
        2,
        0,
    )
