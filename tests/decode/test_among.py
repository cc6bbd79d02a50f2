"""Searches among some items, against scoring every item and against the same search in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core import trie as trie_module
from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.core.trie import OpenNodes, Trie
from lasar_kit.core.values import Env, SidTable
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam

Score = Literal["vocabulary", "trie"]
Table = list[list[int]]
VOCABULARY = 8


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[Table, list[Limit]]:
    """Up to twenty items, some of one SID, and what each of two lists may hold: none, some, all; of all items
    or of a set that both share."""
    levels = draw(st.integers(1, 3))
    row = st.lists(st.integers(0, VOCABULARY - 1), min_size=levels, max_size=levels)
    table = draw(st.lists(row, min_size=1, max_size=20))
    named = st.lists(st.integers(0, len(table) - 1), max_size=25)
    shared = np.unique(np.array(draw(named), dtype=np.int64))
    limits = []
    for _ in range(2):
        items, kind = np.array(draw(named), dtype=np.int64), draw(st.sampled_from(["but", "only", "of"]))
        limits.append(Limit.within(shared, items) if kind == "of" else Limit(items, kind == "only"))
    return table, limits


def listed(table: Table, limit: Limit) -> list[int]:
    """The items that a list may hold, by the definition."""
    named = set(limit.items.tolist())
    among = range(len(table)) if limit.among is None else limit.among.tolist()
    return [item for item in among if (item in named) == limit.only]


def by_hand(
    model: Any, prompt: list[int], table: Table, open_: list[int], width: int, score: Score
) -> list[tuple[int, float]]:
    """Beam search over prefixes of allowed items, each token scored among all tokens or all that the
    catalogue has behind its prefix."""
    beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for level in range(len(table[0])):
        longer = []
        for prefix, logp in beams:
            among = sorted({row[level] for row in table if tuple(row[:level]) == prefix})
            follow = sorted({table[i][level] for i in open_ if tuple(table[i][:level]) == prefix})
            rivals = among if score == "trie" else None
            longer += [((*prefix, t), logp + model.logp([*prompt, *prefix], t, rivals)) for t in follow]
        beams = sorted(longer, key=lambda beam: -beam[1])[:width]
    return [(table.index(list(sid)), logp) for sid, logp in beams]


@pytest.mark.parametrize("score", ["vocabulary", "trie"])
@pytest.mark.parametrize("megabytes", [0, 256])
@settings(max_examples=40)
@given(case=catalogues(), width=st.integers(1, 22))
def test_lists_are_those_of_a_search_by_hand(
    path_model: Callable[[int], Any], score: Score, megabytes: int, case: Any, width: int
) -> None:
    """Twenty items fit into a beam of twenty or more: then that is all allowed items, scored one by one."""
    table, limits = case
    model, prompts = path_model(VOCABULARY), [[3, 1], [2, 5]]
    found = TrieBeam(TrieBeamConfig(use="trie_beam", score=score, table_megabytes=megabytes), Env())
    found.bind(SidTable(torch.tensor(table)))
    trace = model.trace(prompts, [[1, 0], [1, 1]])
    beams = found.search_among(model, trace, width, Allowed.of(limits))
    assert beams.items.shape == beams.logp.shape == (2, 2, width)
    for b, r in ((0, 0), (0, 1), (1, 0)):
        prompt = prompts[b][: (2, 1)[r] if b == 0 else 2]
        expected = by_hand(model, prompt, table, listed(table, limits[b]), width, score)
        filler = width - len(expected)
        assert len(expected) == min(width, len({tuple(table[i]) for i in listed(table, limits[b])}))
        assert beams.items[b, r].tolist() == [item for item, _ in expected] + [-1] * filler
        logp = torch.tensor([value for _, value in expected] + [-torch.inf] * filler)
        torch.testing.assert_close(beams.logp[b, r], logp, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("share", [0, 32, 1000])
@given(case=catalogues())
def test_a_node_is_open_if_an_allowed_item_stands_below(share: int, case: Any) -> None:
    """Whether what is named is sorted or counted."""
    table, limits = case
    trie = Trie.of(SidTable(torch.tensor(table)), 256, "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trie_module, "SORTED_SHARE", share)
        reach = OpenNodes(trie, Allowed.of(limits))
    for level in range(len(table[0])):
        prefixes = sorted({tuple(row[: level + 1]) for row in table})
        nodes = torch.arange(len(prefixes)).expand(2, 1, 1, -1)
        for b, found in enumerate(reach.among(level, nodes).flatten(1).tolist()):
            below = {tuple(table[item][: level + 1]) for item in listed(table, limits[b])}
            assert found == [prefix in below for prefix in prefixes]


@given(case=catalogues())
def test_a_limit_is_a_mask(case: Any) -> None:
    table, limits = case
    items = np.arange(len(table))
    mask = Allowed.of(limits).mask(len(table))
    for limit, row in zip(limits, mask.tolist(), strict=True):
        assert row == limit.holds(items).tolist() == [item in listed(table, limit) for item in items]
        assert limit.count(len(table)) == sum(row)


@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_what_is_left_of_a_set(among: set[int], barred: list[int]) -> None:
    limit = Limit.within(np.array(sorted(among), dtype=np.int32), np.array(barred, dtype=np.int64))
    items = np.arange(31)
    assert items[limit.holds(items)].tolist() == sorted(among - set(barred))
    assert set(limit.items.tolist()) <= among


def test_a_set_that_rows_share_is_kept_once() -> None:
    """Three rows of two sets; the search looks into each set once, for all of its rows."""
    large, small = np.arange(40), np.arange(5)
    limits = [Limit.within(large, small), Limit.within(small, small[:1]), Limit.within(large, small[:0])]
    allowed = Allowed.of(limits)
    assert [(one.items.tolist(), one.rows.tolist()) for one in allowed.shared] == [
        (large.tolist(), [0, 2]),
        (small.tolist(), [1]),
    ]
    assert allowed.items.shape == (3, 5)


def test_everything_is_what_a_search_of_all_gives(path_model: Callable[[int], Any]) -> None:
    """To the last bit, whether nothing is left out or all is named."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(0, VOCABULARY, (300, 3), generator=generator)
    found, model = TrieBeam(TrieBeamConfig(use="trie_beam"), Env()), path_model(VOCABULARY)
    found.bind(SidTable(table))
    trace = model.trace([[3], [4]], [[0], [0]])
    nothing, every = Limit(np.zeros(0, dtype=np.int64)), Limit(np.arange(300), only=True)
    limited, free = (
        found.search_among(model, trace, 50, Allowed.of([nothing, every])),
        found.search(model, trace, 50),
    )
    assert torch.equal(limited.items, free.items)
    assert torch.equal(limited.logp, free.logp)


def test_what_a_mask_takes_out_of_a_beam_is_made_up_for(path_model: Callable[[int], Any]) -> None:
    """Ten allowed of 4,000: none of them is in the beam of all, and all ten come back."""
    generator = torch.Generator().manual_seed(1)
    table = torch.randint(0, 12, (4000, 4), generator=generator)
    found, model = TrieBeam(TrieBeamConfig(use="trie_beam"), Env()), path_model(12)
    found.bind(SidTable(table))
    trace = model.trace([[3]], [[0]])
    best = set(found.search(model, trace, 50).items.flatten().tolist())
    chosen = [item for item in range(100, 200) if item not in best][:10]
    beams = found.search_among(model, trace, 10, Allowed.of([Limit(np.array(chosen), only=True)]))
    sids = {tuple(table[item].tolist()) for item in chosen}
    assert {tuple(table[item].tolist()) for item in beams.items.flatten().tolist() if item >= 0} == sids
