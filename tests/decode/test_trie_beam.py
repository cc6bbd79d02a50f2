"""The trie beam search against the same search in plain Python and against scoring every item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core.interfaces import Decoder
from lasar_kit.core.values import Env, SidTable
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.decoder.trie.walk import stable_topk

Score = Literal["vocabulary", "trie"]
Make = Callable[[int], Any]
SCORES = pytest.mark.parametrize("score", ["vocabulary", "trie"])
VOCABULARY = 12


def decoder(table: list[list[int]], score: Score = "vocabulary", megabytes: int = 256) -> TrieBeam:
    bound = TrieBeam(TrieBeamConfig(use="trie_beam", score=score, table_megabytes=megabytes), Env())
    bound.bind(SidTable(torch.tensor(table)))
    return bound


def by_hand(
    model: Any, prompt: list[int], table: list[list[int]], width: int, score: Score
) -> list[tuple[int, float]]:
    """Beam search over lists: (item, log-probability), best first."""
    beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for level in range(len(table[0])):
        longer = []
        for prefix, logp in beams:
            follow = sorted({row[level] for row in table if tuple(row[:level]) == prefix})
            among = follow if score == "trie" else None
            longer += [((*prefix, t), logp + model.logp([*prompt, *prefix], t, among)) for t in follow]
        beams = sorted(longer, key=lambda beam: -beam[1])[:width]
    return [(table.index(list(sid)), logp) for sid, logp in beams]


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]], list[list[int]], int]:
    """A catalogue (shared SIDs among them), prompts of B rows, the tips of R branches, a width."""
    levels = draw(st.integers(1, 4))
    row = st.lists(st.integers(0, VOCABULARY - 1), min_size=levels, max_size=levels)
    table = draw(st.lists(row, min_size=1, max_size=16))
    rows, length, branches = draw(st.integers(1, 2)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    token = st.integers(0, VOCABULARY - 1)
    prompts = [draw(st.lists(token, min_size=length, max_size=length)) for _ in range(rows)]
    tip = st.integers(0, length - 1)
    tips = [draw(st.lists(tip, min_size=branches, max_size=branches)) for _ in range(rows)]
    return table, prompts, tips, draw(st.integers(1, 20))


@SCORES
@pytest.mark.parametrize("megabytes", [0, 256])
@settings(max_examples=60)
@given(case=searches())
def test_beams_are_those_of_a_search_by_hand(
    path_model: Make, score: Score, megabytes: int, case: Any
) -> None:
    table, prompts, tips, width = case
    model = path_model(VOCABULARY)
    beams = decoder(table, score, megabytes).search(model, model.trace(prompts, tips), width)
    assert beams.items.shape == beams.logp.shape == (len(prompts), len(tips[0]), width)
    for b, prompt in enumerate(prompts):
        for r, tip in enumerate(tips[b]):
            expected = by_hand(model, prompt[: tip + 1], table, width, score)
            filler = width - len(expected)
            assert beams.items[b, r].tolist() == [item for item, _ in expected] + [-1] * filler
            logp = torch.tensor([value for _, value in expected] + [-torch.inf] * filler)
            torch.testing.assert_close(beams.logp[b, r], logp, atol=1e-4, rtol=1e-5)


@SCORES
def test_wide_beam_ranks_the_whole_catalogue(path_model: Make, score: Score) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.unique(torch.randint(0, 5, (30, 3), generator=generator), dim=0).tolist()
    model = path_model(VOCABULARY)
    beams = decoder(table, score).search(model, model.trace([[3, 1]], [[1]]), len(table))
    total = []
    for row in table:
        follow = [sorted({other[m] for other in table if other[:m] == row[:m]}) for m in range(3)]
        among = follow if score == "trie" else [None] * 3
        total.append(sum(model.logp([3, 1, *row[:m]], row[m], among[m]) for m in range(3)))
    assert beams.items[0, 0].tolist() == sorted(range(len(table)), key=lambda item: -total[item])
    torch.testing.assert_close(
        beams.logp[0, 0], torch.tensor(sorted(total, reverse=True)), atol=1e-4, rtol=1e-5
    )
    if score == "trie":
        torch.testing.assert_close(beams.logp.exp().sum(), torch.tensor(1.0))


def test_items_that_share_a_sid_give_the_first_of_them(path_model: Make) -> None:
    model = path_model(VOCABULARY)
    beams = decoder([[4, 4], [1, 2], [4, 4], [1, 2]]).search(model, model.trace([[0]], [[0]]), 4)
    assert sorted(beams.items[0, 0].tolist()) == [-1, -1, 0, 1]
    assert beams.valid.sum() == 2
    assert bool(beams.logp[0, 0, 2:].isneginf().all())


def test_single_level_is_a_top_k_over_the_catalogue(path_model: Make) -> None:
    model, table = path_model(VOCABULARY), [[7], [2], [9], [4]]
    model_trace = model.trace([[5], [6]], [[0], [0]])
    beams = decoder(table).search(model, model_trace, 3)
    logits = model.logits(model_trace.last[:, 0]).log_softmax(-1)[:, [7, 2, 9, 4]]
    expected = logits.topk(3)
    assert torch.equal(beams.items[:, 0], expected.indices)
    torch.testing.assert_close(beams.logp[:, 0], expected.values.float())
    assert model.calls == [1]  # the prompt; no level is fed


def test_one_block_a_level_and_the_last_is_not_fed(path_model: Make) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.unique(torch.randint(0, 12, (500, 4), generator=generator), dim=0).tolist()
    model = path_model(VOCABULARY)
    decoder(table).search(model, model.trace([[1, 2, 3]], [[2, 1]]), 50)
    assert model.calls == [3, 2 * 12, 2 * 50, 2 * 50]


@pytest.mark.parametrize(("score", "expected"), [("trie", [[2, 4], [1, 7]]), ("vocabulary", [None, None])])
def test_within_the_trie_only_a_levels_own_tokens_are_scored(
    path_model: Make, score: Score, expected: list[list[int] | None]
) -> None:
    model, asked = path_model(VOCABULARY), []
    plain = model.logits

    def logits(hidden: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        asked.append(None if tokens is None else tokens.tolist())
        scored: torch.Tensor = plain(hidden, tokens)
        return scored

    model.logits = logits
    decoder([[4, 1], [2, 1], [4, 7]], score).search(model, model.trace([[0]], [[0]]), 2)
    assert asked == expected


def test_what_a_choice_is_given(path_model: Make) -> None:
    """Behind prompt 0 the tokens 2 and 4; behind these 1, and behind 4 alone 7."""
    model, given = path_model(VOCABULARY), []

    def all_of_them(total: torch.Tensor, logits: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        given.append((total[0, 0], logits[0, 0], allowed[0, 0]))
        return torch.arange(total[0, 0].numel()).view(1, 1, -1)

    decoder([[4, 1], [2, 1], [4, 7]]).walk(model, model.trace([[0]], [[0]]), all_of_them, 4)
    (_, _, first), (total, logits, second) = given
    assert first.tolist() == [[True, True]]
    assert second.tolist() == [[True, False], [True, True]]
    for beam, token in enumerate((2, 4)):
        scores = [model.logp([0], token) + model.logp([0, token], last) for last in (1, 7)]
        hidden = model.trace([[0, token]], [[1]]).last[0, 0]
        assert total[beam, second[beam]].tolist() == pytest.approx(scores[: second[beam].sum()], abs=1e-4)
        assert torch.equal(logits[beam], model.logits(hidden, torch.tensor([1, 7])))


def test_another_catalogue_may_be_bound(path_model: Make) -> None:
    model = path_model(VOCABULARY)
    reused = decoder([[1, 2], [3, 4]])
    reused.search(model, model.trace([[0]], [[0]]), 2)
    reused.bind(SidTable(torch.tensor([[5], [6], [7]])))
    fresh = decoder([[5], [6], [7]])
    found, expected = (x.search(model, model.trace([[0]], [[0]]), 3) for x in (reused, fresh))
    assert torch.equal(found.items, expected.items)
    assert isinstance(reused, Decoder)


def test_equal_scores_keep_the_order_of_sids(path_model: Make) -> None:
    model = path_model(VOCABULARY)
    model.logits = lambda hidden, tokens=None: torch.zeros(*hidden.shape[:-1], VOCABULARY)
    table = [[a, b] for a in (3, 1, 2) for b in (5, 4, 9)]
    beams = decoder(table).search(model, model.trace([[0]], [[0]]), 4)
    assert [table[item] for item in beams.items[0, 0].tolist()] == [[1, 4], [1, 5], [1, 9], [2, 4]]


@given(
    st.lists(st.sampled_from([-torch.inf, -1e30, -2.0, -1.0, -0.0, 0.0, 1e-40, 1.0, 3e38]), min_size=1),
    st.data(),
)
def test_stable_topk_is_a_stable_sort(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    expected = sorted(range(len(values)), key=lambda index: -values[index])[:k]
    assert stable_topk(torch.tensor(values), k).tolist() == expected
