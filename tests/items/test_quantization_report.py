"""The report against numbers worked out by hand."""

from __future__ import annotations

import json
from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.stages.tokenize import quality
from lasar_kit.stages.tokenize.collisions import resolve
from lasar_kit.stages.tokenize.quality import perplexity, quantization_report, quantization_table
from lasar_plugins.quantizer.rq_kmeans.config import RqKmeansConfig
from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans


@pytest.mark.parametrize(
    ("counts", "value"),
    [
        ([5], 1.0),
        ([3, 3, 0], 2.0),
        ([1, 1, 1, 1], 4.0),
        ([3, 1], exp(0.75 * log(4 / 3) + 0.25 * log(4))),
        ([0, 0], 0.0),
    ],
)
def test_perplexity_by_hand(counts: list[int], value: float) -> None:
    assert perplexity(np.array(counts)) == pytest.approx(value)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any))
def test_perplexity_lies_between_one_and_the_codes_in_use(counts: list[int]) -> None:
    assert 1 - 1e-9 <= perplexity(np.array(counts)) <= sum(count > 0 for count in counts) + 1e-9


@pytest.fixture
def by_hand() -> tuple[RqKmeans, torch.Tensor, torch.Tensor]:
    """Two levels whose codebooks are set: 0 or 10, then 0, 1 or 2; four items on a line, two of one SID."""
    made = RqKmeans(RqKmeansConfig(use="rq_kmeans", levels=2, codes=[2, 3]), Env())
    made.codebooks = [torch.tensor([[0.0], [10.0]]), torch.tensor([[0.0], [1.0], [2.0]])]
    made.used = torch.tensor([2, 3])
    items = torch.tensor([[0.0], [11.0], [11.0], [12.0]])
    return made, items, torch.tensor([[0, 0], [1, 1], [1, 1], [1, 1]])


def test_report_by_hand(by_hand) -> None:
    made, items, codes = by_hand
    resolved, _, collisions = resolve(codes, items, made, "reassign")
    assert resolved.tolist() == [[0, 0], [1, 1], [1, 0], [1, 2]]
    report = quantization_report(codes, items, made, resolved, collisions)
    energy = 11 * 11 * 2 + 12 * 12
    # Level 1 leaves 1, 1 and 2 over, level 2 only the 1 of the last item; after moving, item 2 is 1 off.
    assert report["relative_error"] == pytest.approx([6 / energy, 1 / energy])
    assert report["mean_squared_error"] == pytest.approx([6 / 4, 1 / 4])
    assert report["relative_error_resolved"] == pytest.approx(1 / energy)
    assert report["usage"] == pytest.approx([1, 2 / 3])
    skew = exp(0.75 * log(4 / 3) + 0.25 * log(4))
    assert report["perplexity"] == pytest.approx([skew, skew])
    assert (report["items"], report["sizes"]) == (4, [2, 3])
    assert (report["collisions"]["items_sharing"], report["collisions"]["moved"]) == (3, 2)
    assert json.loads(json.dumps(report)) == report


def test_a_suffix_level_does_not_count_as_reconstruction(by_hand) -> None:
    made, items, codes = by_hand
    resolved, _, collisions = resolve(codes, items, made, "suffix")
    report = quantization_report(codes, items, made, resolved, collisions)
    assert report["relative_error_resolved"] == report["relative_error"][-1]
    assert len(report["usage"]) == 2


def test_embeddings_without_energy(by_hand) -> None:
    made, _, codes = by_hand
    report = quantization_report(
        codes, torch.zeros(4, 1), made, codes, resolve(codes, torch.zeros(4, 1), made, "allow")[2]
    )
    assert report["relative_error"] == [0.0, 0.0]


def test_table_shows_the_numbers(by_hand) -> None:
    made, items, codes = by_hand
    resolved, _, collisions = resolve(codes, items, made, "reassign")
    table = quantization_table(quantization_report(codes, items, made, resolved, collisions))
    assert table.row_count == 2
    assert list(table.columns[2].cells) == ["100.0%", "66.7%"]
    assert list(table.columns[5].cells) == ["1.5", "0.25"]
    assert "3 items shared their SID in 1 groups of at most 3; reassign: 2 moved" in str(table.caption)


@pytest.mark.parametrize(("same", "caution"), [(3, False), (4, True), (6, True)])
def test_most_items_alike_is_a_caution(same: int, caution: bool) -> None:
    """Of six items, `same` have one embedding, -0.0 being 0.0, and so one code."""
    made = RqKmeans(RqKmeansConfig(use="rq_kmeans", levels=1, codes=6), Env())
    items = torch.arange(6.0).clamp_min(same - 1)[:, None] - (same - 1)
    items[0] = -0.0
    made.fit(items)
    codes = made.encode(items)
    resolved, _, collisions = resolve(codes, items, made, "reassign")
    report = quantization_report(codes, items, made, resolved, collisions)
    assert report["identical"] == same
    assert ("caution" in report) == caution
    assert not caution or report["caution"].startswith(f"{same} of 6 items have the same embedding")
    assert not caution or "'text_encoder: cooccurrence'" in report["caution"]


@pytest.mark.parametrize(("values", "caution"), [([0, 0, 1, 1, 2, 2], True), ([0, 0, 1, 2, 3, 3.5], False)])
def test_items_that_are_alike_in_pairs_are_a_caution(values: list[float], caution: bool) -> None:
    """As where titles differ by a number that no term holds: no error, and arbitrary codes."""
    made = RqKmeans(RqKmeansConfig(use="rq_kmeans", levels=2, codes=6), Env())
    items = torch.tensor(values, dtype=torch.float32)[:, None]
    made.fit(items)
    codes = made.encode(items)
    resolved, _, collisions = resolve(codes, items, made, "reassign")
    report = quantization_report(codes, items, made, resolved, collisions)
    assert (report["identical"], report["alike"]) == (2, 6 if caution else 2)
    assert report.get("caution", "").startswith("6 of 6 items have the embedding of another" * caution)
    assert ("caution" in report) == caution


@pytest.mark.parametrize(("scale", "caution"), [(0.5, False), (1.9, False), (2.1, True)])
def test_an_error_above_that_of_no_code_is_a_caution(scale: float, caution: bool) -> None:
    """Every item is 1 and its reconstruction `scale`: the error is (scale - 1)^2."""
    made, items = RqKmeans(RqKmeansConfig(use="rq_kmeans", levels=1, codes=4), Env()), torch.ones(4, 1)
    made.codebooks, made.used = [torch.full((4, 1), scale)], torch.tensor([4])
    codes = torch.arange(4)[:, None]
    report = quantization_report(codes, items, made, codes, resolve(codes, items, made, "allow")[2])
    assert ("caution" in report) == caution
    assert not caution or report["caution"] == (
        "the relative error is 1.21; above 1, SIDs tell less of the items than none"
    )


def test_a_collision_rule_that_costs_more_than_no_code_is_a_caution() -> None:
    """Half of the items are alike, and all but one of them must move far away."""
    made = RqKmeans(RqKmeansConfig(use="rq_kmeans", levels=1, codes=8), Env())
    made.codebooks, made.used = [torch.arange(8.0)[:, None]], torch.tensor([8])
    items = torch.tensor([0.0, 0, 0, 0, 1, 2, 3, 4])[:, None] / 4
    codes = torch.tensor([0, 0, 0, 0, 1, 2, 3, 4])[:, None]
    made.codebooks = [made.codebooks[0] / 4]
    resolved, _, collisions = resolve(codes, items, made, "reassign")
    report = quantization_report(codes, items, made, resolved, collisions)
    moved = sorted(resolved[:4, 0].tolist())
    assert moved == [0, 5, 6, 7]
    assert report["relative_error_resolved"] == pytest.approx((25 + 36 + 49) / (1 + 4 + 9 + 16))
    assert report["caution"].startswith(
        "the relative error is 0.00, and 3.67 after 'collision: reassign'; above 1"
    )
    assert report["caution"].endswith("'collision: suffix' moves none")


def test_sids_that_need_no_embedding_are_not_arbitrary() -> None:
    class FromFile(RqKmeans):
        def encode(self, embeddings: torch.Tensor) -> torch.Tensor:
            return torch.arange(4)[:, None]

    made, items = FromFile(RqKmeansConfig(use="rq_kmeans", levels=1, codes=4), Env()), torch.zeros(4, 1)
    made.codebooks, made.used = [torch.zeros(4, 1)], torch.tensor([4])
    resolved, _, collisions = resolve(made.encode(items), items, made, "reassign")
    report = quantization_report(made.encode(items), items, made, resolved, collisions)
    assert (report["identical"], "caution" in report) == (4, False)


def test_parts_of_the_items_make_the_report_of_all(by_hand, monkeypatch) -> None:
    made, items, codes = by_hand
    resolved, _, found = resolve(codes, items, made, "allow")
    whole = quantization_report(codes, items, made, resolved, found)
    monkeypatch.setattr(quality, "ROWS", 3)
    split, parts = torch.split, []

    def counted(rows: torch.Tensor, size: int) -> tuple[torch.Tensor, ...]:
        parts.append([len(part) for part in split(rows, size)])
        return split(rows, size)

    monkeypatch.setattr(torch, "split", counted)
    assert quantization_report(codes, items, made, resolved, found) == whole
    # Energy and items alike; codes and items for the error of each level, and after the rule.
    assert parts == [[3, 1]] * (1 + 1 + 2 * (2 + 1))
    assert whole["identical"] == 2


def test_the_index_is_readable_json(tmp_path) -> None:
    """As `json` writes it, and named tokens are those of the codes."""
    ids = ('a "quoted" id', "é", "plain")
    Sids(torch.tensor([[0, 2], [1, 0], [1, 1]]), (2, 3)).save(tmp_path, ids)
    tokens = (["<a_0>", "<b_2>"], ["<a_1>", "<b_0>"], ["<a_1>", "<b_1>"])
    expected = json.dumps(dict(zip(ids, tokens, strict=True)), indent=2, ensure_ascii=False) + "\n"
    assert (tmp_path / "index.json").read_text(encoding="utf-8") == expected
