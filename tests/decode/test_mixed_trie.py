"""The mixture of model and prior against the same search in plain Python and against scoring every item."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.values import Env, LatentTrace, SidTable
from lasar_kit.spec import RankerConfig
from lasar_plugins.decoder.trie.config import MixedTrieConfig, TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.decoder.trie.mixed import MixedTrie
from tests.decode.scored import Scored

Make = Callable[[int], Any]
Score = Literal["vocabulary", "trie"]
VOCABULARY = 12


def decoder(
    table: list[list[int]], ranker: Any, fresh: Callable[[], Any] | None = None, **options: Any
) -> MixedTrie:
    items = pl.DataFrame({"id": [str(item) for item in range(len(table))]})
    env = Env(
        items=items,
        train=Sequences.of([[0]]),
        build=lambda kind, config, env: fresh() if fresh else ranker,
        hidden_size=1,
    )
    options = {"prior": RankerConfig(use="any"), **options}
    bound = MixedTrie(MixedTrieConfig.model_construct(**{**DEFAULTS, **options}), env)
    bound.bind(SidTable(torch.tensor(table)))
    return bound


DEFAULTS = {
    name: field.default
    for name, field in MixedTrieConfig.model_fields.items()
    if name not in ("prior", "use")
}


def behind(trace: LatentTrace, histories: list[list[list[int]]]) -> LatentTrace:
    """The trace with what its prompts show."""
    width = max(len(shown) for row in histories for shown in row)
    padded = [[shown + [-1] * (width - len(shown)) for shown in row] for row in histories]
    return replace(trace, shown=torch.tensor(padded, dtype=torch.int64).view(*trace.tip.shape, width))


def model_mass(
    model: Any, prompt: list[int], table: list[list[int]], prefix: tuple[int, ...], score: Score
) -> float:
    total = 0.0
    for level, token in enumerate(prefix):
        before = prefix[:level]
        among = sorted({row[level] for row in table if tuple(row[:level]) == before})
        total += model.logp([*prompt, *before], token, among if score == "trie" else None)
    return math.exp(total)


def prior_mass(scores: list[float], table: list[list[int]], prefix: tuple[int, ...]) -> float:
    """By division of the listed by their sum."""
    listed = [max(score, 0.0) for score in scores]
    whole = sum(listed)
    shares = [score / whole if whole else 1 / len(scores) for score in listed]
    below = zip(table, shares, strict=True)
    return sum(share for row, share in below if tuple(row[: len(prefix)]) == prefix)


def by_hand(mass: Callable[[tuple[int, ...]], float], table: list[list[int]], width: int) -> dict[int, float]:
    """Beam search over lists by the mass of prefixes: the log-probability of each item found."""
    beams: list[tuple[int, ...]] = [()]
    for level in range(len(table[0])):
        longer = {tuple(row[: level + 1]) for row in table if tuple(row[:level]) in beams}
        beams = sorted(longer, key=lambda prefix: -mass(prefix))[:width]
    return {table.index(list(sid)): math.log(mass(sid)) for sid in beams if mass(sid) > 0}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    levels = draw(st.integers(1, 3))
    row = st.lists(st.integers(0, 5), min_size=levels, max_size=levels)
    table = draw(st.lists(row, min_size=1, max_size=12))
    number = st.one_of(st.just(-math.inf), st.just(-0.5), st.integers(0, 40).map(float), st.floats(0.01, 9))
    scores = st.lists(number, min_size=len(table), max_size=len(table))
    item = st.integers(0, len(table) - 1)
    rows, branches = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    history = st.lists(item, max_size=3)
    return {
        "table": table,
        "scores": draw(st.lists(scores, min_size=1, max_size=3)),
        "prompts": [[draw(st.integers(0, 11)) for _ in range(2)] for _ in range(rows)],
        "histories": [[draw(history) for _ in range(branches)] for _ in range(rows)],
        "width": draw(st.sampled_from([1, 3, 12])),
        "weight": draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        "score": draw(st.sampled_from(["vocabulary", "trie"])),
        "megabytes": draw(st.sampled_from([0, 256])),
    }


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_beams_are_those_of_a_search_by_the_mixture(path_model: Make, case: Any) -> None:
    table, histories, model = case["table"], case["histories"], path_model(VOCABULARY)
    ranker = Scored(case["scores"])
    mixed = decoder(
        table, ranker, weight=case["weight"], score=case["score"], table_megabytes=case["megabytes"]
    )
    tips = [[1 - r for r in range(len(row))] for row in histories]
    found = mixed.search(model, behind(model.trace(case["prompts"], tips), histories), case["width"])
    for b, row in enumerate(histories):
        for r, history in enumerate(row):
            prompt, scores, w = case["prompts"][b][: tips[b][r] + 1], ranker.row(history), case["weight"]

            def mass(
                prefix: tuple[int, ...],
                prompt: list[int] = prompt,
                scores: list[float] = scores,
                w: float = w,
            ) -> float:
                model_own = model_mass(model, prompt, table, prefix, case["score"])
                return (1 - w) * model_own + w * prior_mass(scores, table, prefix)

            expected = by_hand(mass, table, case["width"])
            items = [item for item in found.items[b, r].tolist() if item >= 0]
            logps = found.logp[b, r, : len(items)].tolist()
            # Items of equal masses may come in any order, and those of the last beam be others.
            own = [math.log(mass(tuple(table[item]))) for item in items]
            assert logps == pytest.approx(own, abs=1e-4)
            assert logps == pytest.approx(sorted(expected.values(), reverse=True), abs=1e-4)
            if case["width"] == 12:
                assert sorted(items) == sorted(expected)
            assert found.logp[b, r, len(items) :].isneginf().all()


def test_a_wide_beam_is_the_mixture_of_the_whole_catalogue(path_model: Make) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.unique(torch.randint(0, 5, (40, 3), generator=generator), dim=0).tolist()
    scores = torch.rand(len(table), generator=generator).mul(9).tolist()
    model = path_model(VOCABULARY)
    trace = behind(model.trace([[3, 1]], [[1]]), [[[4, 2]]])
    found = decoder(table, Scored([scores]), weight=0.4).search(model, trace, len(table))
    alone = TrieBeam(TrieBeamConfig(use="trie_beam", score="trie"), Env())
    alone.bind(SidTable(torch.tensor(table)))
    model_own = torch.zeros(len(table))
    ranked = alone.search(model, trace, len(table))
    model_own[ranked.items[0, 0]] = ranked.logp[0, 0].exp()
    mixture = 0.6 * model_own + 0.4 * torch.tensor(scores) / sum(scores)
    order = mixture.argsort(descending=True)
    assert found.items[0, 0].tolist() == order.tolist()
    torch.testing.assert_close(found.logp[0, 0].exp(), mixture[order])
    torch.testing.assert_close(found.logp.exp().sum(), torch.tensor(1.0))


def test_memory_finds_an_item_whose_prefix_the_model_does_not_believe_in(path_model: Make) -> None:
    table, model = [[token, code] for token in range(6) for code in range(4)], path_model(VOCABULARY)
    trace = model.trace([[3]], [[0]])
    alone = TrieBeam(TrieBeamConfig(use="trie_beam", score="trie", width=2), Env())
    alone.bind(SidTable(torch.tensor(table)))
    last = int(alone.search(model, trace, len(table)).items[0, 0, -1])
    assert last not in alone.search(model, trace, 2).items[0, 0].tolist()
    scores = [1.0 if item == last else 0.0 for item in range(len(table))]
    found = decoder(table, Scored([scores])).search(model, behind(trace, [[[0]]]), 2)
    assert found.items[0, 0, 0] == last


def test_a_trace_that_shows_nothing_is_ranked_by_the_model(path_model: Make) -> None:
    table, model = [[1, 2], [1, 3], [2, 2], [4, 4]], path_model(VOCABULARY)
    trace = model.trace([[3]], [[0]])
    alone = TrieBeam(TrieBeamConfig(use="trie_beam", score="trie"), Env())
    alone.bind(SidTable(torch.tensor(table)))
    found, expected = (
        decoder(table, Scored([[1.0] * 4])).search(model, trace, 4),
        alone.search(model, trace, 4),
    )
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.logp, expected.logp)


def test_a_learned_share_is_each_branchs_own(path_model: Make) -> None:
    table, model = [[token, code] for token in range(4) for code in range(3)], path_model(VOCABULARY)
    ranker = Scored([torch.rand(12, generator=torch.Generator().manual_seed(n)).tolist() for n in range(2)])
    trace = behind(model.trace([[3, 1], [2, 5]], [[0, 1], [1, 1]]), [[[0], [1]], [[2], [5]]])
    learned = decoder(table, ranker, weight=0.3, learned=True)
    fixed = decoder(table, ranker, weight=0.3).search(model, trace, 12)
    begun = learned.search(model, trace, 12)
    assert torch.equal(begun.items, fixed.items)
    torch.testing.assert_close(begun.logp, fixed.logp)
    assert learned.gate is not None
    with torch.no_grad():
        learned.gate.weight.fill_(2.0)
        learned.gate.bias.fill_(-0.4)
    found = learned.search(model, trace, 12)
    for b, r in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = 1 / (1 + math.exp(0.4 - 2 * float(trace.last[b, r, 0])))
        alone = decoder(table, ranker, weight=share).search(model, trace, 12)
        assert found.items[b, r].tolist() == alone.items[b, r].tolist()
        torch.testing.assert_close(found.logp[b, r], alone.logp[b, r])


def test_a_share_that_is_learned_begins_between_0_and_1() -> None:
    catalogue = Catalogue.discover()
    options = {"use": "mixed_trie", "learned": True, "weight": 1.0}
    with pytest.raises(ValidationError, match=r"begins between 0 and 1 \(got weight 1\)"):
        MixedTrieConfig.model_validate(options, context={"catalogue": catalogue})


def test_a_prior_fitted_elsewhere_leaves_the_one_that_ranks_as_it_is() -> None:
    rankers = [Scored([[1.0, 2.0, 5.0]]), Scored([[4.0, 4.0, 2.0]])]
    mixed = decoder([[1, 7], [2, 7], [1, 7]], None, fresh=lambda: rankers.pop(0))
    ask = mixed.remembered(Sequences.of([[0, 1], [2]]))
    np.testing.assert_allclose(ask([np.array([0])] * 2, np.array([[1, 7], [2, 7]])), [0.6, 0.4])
    np.testing.assert_allclose(mixed.prior.of_items([np.array([0])], np.array([[1, 7]])), [0.75])


def test_what_a_priors_beam_leaves_out_keeps_its_share(path_model: Make) -> None:
    """The prior's beam has 0.5 and 0.2 of the probability; each prefix has what its items have."""

    class Beam(Scored):
        def probabilities(self, scores: np.ndarray) -> np.ndarray:
            return np.exp(scores)

    class Logs(RankerConfig):
        normalised_by = "softmax"

    ranker = Beam([[math.log(0.5), math.log(0.2), -math.inf, -math.inf]])
    table, model = [[1, 2], [2, 2], [1, 3], [4, 4]], path_model(VOCABULARY)
    mixed = decoder(table, ranker, prior=Logs(use="any"), weight=0.5)
    inner, leaves = mixed.prior.masses([np.array([0])])
    np.testing.assert_allclose(inner, [[0.5, 0.2, 0.0]])
    np.testing.assert_allclose(leaves, [[0.5, 0.0, 0.2, 0.0]])
    beams = mixed.search(model, behind(model.trace([[3]], [[0]]), [[[0]]]), 4)
    found = dict(zip(beams.items[0, 0].tolist(), beams.logp[0, 0].exp().tolist(), strict=True))
    for item, prior in enumerate([0.5, 0.2, 0.0, 0.0]):
        own = model_mass(model, [3], table, tuple(table[item]), "trie")
        assert found[item] == pytest.approx((own + prior) / 2, abs=1e-5)


def test_a_prior_is_asked_once_behind_one_trace_and_anew_for_another_catalogue(path_model: Make) -> None:
    table, model, ranker = [[1, 2], [1, 3], [2, 2], [4, 4]], path_model(VOCABULARY), Scored([[1.0, 2, 3, 4]])
    mixed, trace = decoder(table, ranker, weight=1.0), behind(model.trace([[3]], [[0]]), [[[0, 2]]])
    assert mixed.search(model, trace, 4).items.tolist() == [[[3, 2, 1, 0]]]
    ranker.table = [[4.0, 3, 2, 1]]
    assert mixed.search(model, trace, 4).items.tolist() == [[[3, 2, 1, 0]]]
    other = replace(trace, shown=torch.tensor([[[0, 2]]]))
    assert mixed.search(model, other, 4).items.tolist() == [[[0, 1, 2, 3]]]
    mixed.bind(SidTable(torch.tensor(table[::-1])))
    assert mixed.search(model, other, 1).logp.exp().item() == pytest.approx(0.4)
    assert copy.deepcopy(mixed).prior is mixed.prior


def test_the_prior_is_fitted_on_the_training_part() -> None:
    ranker = Scored([[1.0, 2.0]])
    decoder([[1], [2]], ranker)
    assert ranker.fitted == (1, 2)


def test_what_comes_later_has_no_share_of_the_prior(path_model: Make) -> None:
    """Item 2 comes last: the ranker never hears of it, and it is ranked by the model's share alone."""
    ranker, model = Scored([[1.0, 3.0], [3.0, 1.0]]), path_model(VOCABULARY)
    mixed = decoder([[1, 2], [4, 4]], ranker, weight=0.5)
    table = [[1, 2], [4, 4], [1, 3]]
    mixed.extend(SidTable(torch.tensor(table)))
    beams = mixed.search(model, behind(model.trace([[3]], [[0]]), [[[1, 2, 2]]]), 3)
    found = dict(zip(beams.items[0, 0].tolist(), beams.logp[0, 0].exp().tolist(), strict=True))
    prior = [0.75, 0.25, 0.0]  # behind a history of item 1
    for item, row in enumerate(table):
        expected = (model_mass(model, [3], table, tuple(row), "trie") + prior[item]) / 2
        assert found[item] == pytest.approx(expected, abs=1e-5)
    mixed.bind(SidTable(torch.tensor(table[:2])))
    assert mixed.prior.masses([np.array([0])])[1].tolist() == [[0.25, 0.75]]


def test_prompts_show_the_first_of_their_items() -> None:
    one = torch.zeros(2, 1, dtype=torch.int64)
    counts = torch.tensor([[1, 3], [2, 0]])
    prompts = Prompts(
        one, one[:, 0], counts, counts > 0, counts, one[:0, 0], torch.tensor([[5, 6, 7], [8, 9, -1]])
    )
    assert prompts.shown is not None
    assert prompts.shown.tolist() == [[[5, -1, -1], [5, 6, 7]], [[8, 9, -1], [-1, -1, -1]]]
    assert replace(prompts, history=None).shown is None
