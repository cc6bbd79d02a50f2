"""Codes from an index file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lasar_kit.core.interfaces import Quantizer
from lasar_kit.core.sources.items import item_table
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.stages.tokenize.collisions import resolve
from lasar_plugins.quantizer.from_index.config import FromIndexConfig
from lasar_plugins.quantizer.from_index.quantizer import FromIndex

INDEX = {"x": ["<a_1>", "<b_0>"], "z": ["<a_0>", "<b_2>"], "y": ["<a_1>", "<b_2>"]}
IDS = ("x", "y", "z")


def written(folder: Path, content: object) -> Path:
    path = folder / "index.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def load(path: Path, ids: tuple[str, ...] = IDS, **options) -> FromIndex:
    return FromIndex(FromIndexConfig(use="from_index", path=path, **options), Env(items=item_table(ids, {})))


def mistakes(path: Path, ids: tuple[str, ...] = IDS, **options) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(path, ids, **options)
    assert all(line.startswith(str(path)) for line in caught.value.lines)
    return [line.removeprefix(str(path)) for line in caught.value.lines]


def test_codes_in_catalogue_order(tmp_path: Path) -> None:
    index = load(written(tmp_path, INDEX))
    assert isinstance(index, Quantizer)
    assert index.encode(torch.zeros(3, 2)).tolist() == [[1, 0], [1, 2], [0, 2]]
    assert index.sizes == (2, 3)
    assert load(written(tmp_path, INDEX), codes=256).sizes == (256, 256)


def test_centroids_are_mean_residuals(tmp_path: Path) -> None:
    index = load(written(tmp_path, INDEX))
    items = torch.tensor([[2.0, 0.0], [4.0, 2.0], [0.0, 5.0]])
    index.fit(items)
    # Level 1: code 1 has x and y, mean (3, 1); code 0 has z alone. Residuals (-1, -1), (1, 1), (0, 0).
    # Level 2: code 0 has x: (-1, -1); code 2 has y and z: (0.5, 0.5); code 1 nobody.
    torch.testing.assert_close(index.codebooks[0], torch.tensor([[0.0, 5.0], [3.0, 1.0]]))
    torch.testing.assert_close(index.codebooks[1], torch.tensor([[-1.0, -1.0], [0.0, 0.0], [0.5, 0.5]]))
    expected = torch.tensor([[2.0, 0.0], [3.5, 1.5], [0.5, 5.5]])
    torch.testing.assert_close(index.decode(index.encode(items)), expected)
    torch.testing.assert_close(index.decode(torch.tensor([[1], [0]])), torch.tensor([[3.0, 1.0], [0.0, 5.0]]))


def test_save_and_load(tmp_path: Path) -> None:
    path = written(tmp_path, INDEX)
    items = torch.arange(6.0).reshape(3, 2)
    index = load(path)
    index.fit(items)
    save_file(index.state_dict(), tmp_path / "q.safetensors")
    loaded = load(path)
    loaded.load_state_dict(load_file(tmp_path / "q.safetensors"))
    assert loaded.sizes == index.sizes
    assert torch.equal(loaded.encode(items), index.encode(items))
    assert torch.equal(loaded.decode(index.codes), index.decode(index.codes))


def test_every_kind_of_mistake_is_reported_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"x": ["<a_0>", "<b_0>"], "v": ["<a_0>"], "w": ["<b_0>", "<a_0>"], "u": ["<a_1>", "<b_01>"]},
    )
    assert mistakes(path, (*IDS, "v", "w", "u")) == [
        ": no entry for item 'y'",
        ": no entry for item 'z'",
        ": item 'w': level 1: expected a token such as '<a_0>', got \"<b_0>\"",
        ": item 'u': level 2: expected a token such as '<b_0>', got \"<b_01>\"",
        ": item 'v' has 1 levels, but 'x' has 2",
    ]


def test_entries_of_items_the_catalogue_lacks_are_passed_over(tmp_path: Path) -> None:
    """Whatever they hold: the catalogue may be but the core of what was indexed."""
    path = written(tmp_path, INDEX | {"left out": ["<a_7>", "<b_7>"], "shorter": ["<a_0>"], "odd": None})
    index = load(path)
    assert index.encode(torch.zeros(3, 2)).tolist() == [[1, 0], [1, 2], [0, 2]]
    assert index.sizes == (2, 3)
    assert index.remarks == {"entries_passed_over": 3}


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps(INDEX), encoding="utf-8-sig")
    assert load(path).encode(torch.zeros(3, 2)).tolist() == [[1, 0], [1, 2], [0, 2]]


def test_a_long_list_of_mistakes_is_cut(tmp_path: Path) -> None:
    lines = mistakes(written(tmp_path, {"x": ["<a_0>"]}), ("x", *(f"i{item}" for item in range(12))))
    assert len(lines) == 6
    assert lines[-1] == ": and 7 more like the last"


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        "<a_0>",
        None,
        [0],
        ["a_0"],
        ["<a_-1>"],
        ["<A_0>"],
        ["<a_0> "],
        ["<a_1.0>"],
        ["<a_>"],
        ["<a_9999999999>"],
    ],
)
def test_malformed_tokens(tmp_path: Path, tokens: object) -> None:
    (line,) = mistakes(written(tmp_path, {"x": tokens}), ("x",))
    assert "'<a_0>'" in line


def test_more_levels_than_letters(tmp_path: Path) -> None:
    tokens = [f"<{chr(ord('a') + level)}_0>" for level in range(27)]
    assert "more than 26 levels" in mistakes(written(tmp_path, {"x": tokens}), ("x",))[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"x": ["<a_0>"], "x": ["<a_1>"]}', ": the key 'x' stands twice"),
        ('{"x":\n["<a_0>"', ":2: is not JSON"),
        ("", ": is empty"),
        ("[]", "got a list"),
        ("{}", ": no entry for item 'x'"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, said: str) -> None:
    assert said in mistakes(written(tmp_path, content), ("x",))[0]


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    assert "no such file" in mistakes(tmp_path / "index.json")[0]
    (tmp_path / "index.json").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in mistakes(tmp_path / "index.json")[0]


def test_a_code_past_the_stated_size(tmp_path: Path) -> None:
    assert mistakes(written(tmp_path, INDEX), codes=2) == [
        ": item 'y' has code 2 at level 2, but codes is 2, so the last is 1"
    ]


def test_a_code_that_no_index_can_mean(tmp_path: Path) -> None:
    index = written(tmp_path, '{"x": ["<a_0>", "<b_1>"], "y": ["<a_1>", "<b_900000000>"]}')
    assert mistakes(index, ("x", "y")) == [
        ": item 'y' has code 900000000 at level 2, but a level has at most 65,536 codes here, so the last is "
        "65535"
    ]


def test_items_whose_ids_are_their_codes() -> None:
    def of(*ids: str, **options: int) -> FromIndex:
        return FromIndex(FromIndexConfig(use="from_index", **options), Env(items=item_table(ids, {})))

    index = of("<a_3><b_0>", "<a_0><b_12>")
    assert index.encode(torch.zeros(2, 2)).tolist() == [[3, 0], [0, 12]]
    assert index.sizes == (4, 13)
    with pytest.raises(UserError) as caught:
        of("<a_0><b_1>", "soap", "<a_0>", "<b_0><a_1>", "<a_0> <b_1>")
    told = caught.value.lines
    assert all(line.startswith("item ids (quantizer from_index without a path): item ") for line in told)
    assert [line.split(": ")[1] for line in told] == [
        "item 'soap'",
        "item '<b_0><a_1>'",
        "item '<a_0> <b_1>'",
        "item '<a_0>' has 1 levels, but '<a_0><b_1>' has 2",
    ]
    with pytest.raises(
        UserError, match=r"item ids: item .* has code 3 at level ., but codes is 3, so the last is 2"
    ):
        of("<a_3><b_0>", codes=3)


def test_the_real_index_has_collisions_until_they_are_resolved(real_data: Path) -> None:
    path = real_data / "beauty" / "Beauty.index.json"
    ids = tuple(str(item) for item in range(12_101))
    index = load(path, ids)
    # The rules ask only for some embeddings; random ones keep this quick.
    items = torch.randn(len(ids), 8, generator=torch.Generator().manual_seed(0))
    index.fit(items)
    codes = index.encode(items)
    assert len(codes.unique(dim=0)) == 11_499
    moved, sizes, report = resolve(codes, items, index, "reassign")
    assert len(moved.unique(dim=0)) == 12_101
    assert (report["distinct"], report["moved"]) == (11_499, 602)
    assert sizes == (256, 256, 256, 256)
    assert ((moved != codes).any(dim=1)).sum() == 602
