"""Sampling of items against exact probabilities, enumerated over small catalogues."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from itertools import combinations_with_replacement, permutations
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from lasar_kit.core.draws import RowDraws
from lasar_kit.core.values import Beams, Env, SidTable
from lasar_plugins.decoder.trie.config import TrieBeamConfig, TrieSampleConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.decoder.trie.sampler import TrieSample, _Draw, _with_maximum

Make = Callable[[int], Any]
BOTH = pytest.mark.parametrize("replacement", [True, False])
SCORES = pytest.mark.parametrize("score", ["vocabulary", "trie"])
VOCABULARY = 12
# Nodes of one child and of several, on every level.
TABLE = [[5, 1, 2], [0, 3, 3], [5, 1, 7], [5, 4, 2], [9, 4, 4], [0, 3, 8], [9, 11, 0]]
PROMPT = [7, 7]  # after it, and after its first token alone, no item is very improbable


def sampler(table: list[list[int]] = TABLE, seed: int = 0, **options: Any) -> TrieSample:
    bound = TrieSample(TrieSampleConfig(use="trie_sample", **options), Env(seed=seed))
    bound.bind(SidTable(torch.tensor(table)))
    return bound


def exact(
    model: Any, prompt: list[int], table: list[list[int]] = TABLE, temperature: float = 1.0
) -> list[float]:
    """Probability of each item: each token's among those that continue to an item, at a temperature."""
    found = []
    for sid in table:
        chance = 1.0
        for level, token in enumerate(sid):
            follow = {row[level] for row in table if row[:level] == sid[:level]}
            path = [*prompt, *sid[:level]]
            share = {t: math.exp(model.logp(path, t) / temperature) for t in follow}
            chance *= share[token] / sum(share.values())
        found.append(chance)
    assert math.isclose(sum(found), 1)
    return found


def assert_drawn(drawn: Counter[Any], chances: Mapping[Any, float]) -> None:
    """Chi-square of counts against exact probabilities; cells of less than 5 expected are counted as one."""
    assert math.isclose(sum(chances.values()), 1)
    assert set(drawn) <= set(chances)
    count = sum(drawn.values())
    large = [key for key, chance in chances.items() if chance * count >= 5]
    assert len(large) > len(chances) / 2
    observed, expected = [drawn[key] for key in large], [chances[key] * count for key in large]
    rest = count - sum(expected)
    if rest >= 5:
        observed, expected = [*observed, count - sum(observed)], [*expected, rest]
    else:
        observed[-1], expected[-1] = observed[-1] + count - sum(observed), expected[-1] + rest
    assert chisquare(observed, expected).pvalue > 1e-3


def groups(beams: Beams, branch: int = 0) -> Counter[Hashable]:
    """How often each set (or multiset) of items was drawn, over the rows."""
    return Counter(tuple(row) for row in beams.items[:, branch].sort(dim=-1).values.tolist())


def search(found: TrieSample | TrieBeam, model: Any, width: int, rows: int = 1) -> Beams:
    return found.search(model, model.trace([PROMPT] * rows, [[1]] * rows), width)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
@SCORES
def test_draws_are_independent_and_in_proportion(path_model: Make, score: str, temperature: float) -> None:
    model = path_model(VOCABULARY)
    p = exact(model, PROMPT, temperature=temperature)
    pairs = {
        (i, j): p[i] * p[j] * (1 if i == j else 2)
        for i, j in combinations_with_replacement(range(len(TABLE)), 2)
    }
    beams = search(sampler(score=score, temperature=temperature), model, 2, 60_000)
    assert_drawn(groups(beams), pairs)
    many = search(sampler(score=score, temperature=temperature, seed=1), model, 40, 1000)
    assert_drawn(Counter(many.items.flatten().tolist()), dict(enumerate(p)))


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_distinct_draws_are_successive_ones_without_replacement(
    path_model: Make, width: int, temperature: float
) -> None:
    model = path_model(VOCABULARY)
    p = exact(model, PROMPT, temperature=temperature)
    chances: dict[Hashable, float] = {}
    for order in permutations(range(len(TABLE)), width):
        chance, left = 1.0, 1.0
        for item in order:
            chance *= p[item] / left
            left -= p[item]
        key = tuple(sorted(order))
        chances[key] = chances.get(key, 0.0) + chance
    sets = groups(search(sampler(replacement=False, temperature=temperature), model, width, 30_000))
    assert_drawn(sets, chances)


def test_distinct_draws_of_one_level_and_of_a_sparse_trie(path_model: Make) -> None:
    model = path_model(VOCABULARY)
    flat = [[7], [2], [9], [4]]
    p = exact(model, PROMPT, flat)
    pairs = {
        (i, j): p[i] * p[j] / (1 - p[i]) + p[i] * p[j] / (1 - p[j]) for i in range(4) for j in range(i + 1, 4)
    }
    assert_drawn(groups(search(sampler(flat, replacement=False), model, 2, 20_000)), pairs)
    sparse = sampler(replacement=False, table_megabytes=0)
    single = {(i,): chance for i, chance in enumerate(exact(model, PROMPT))}
    assert_drawn(groups(search(sparse, model, 1, 20_000)), single)


@BOTH
def test_rows_and_branches_are_drawn_apart(path_model: Make, replacement: bool) -> None:
    model, rows = path_model(VOCABULARY), 20_000
    found = sampler(replacement=replacement)
    beams = found.search(model, model.trace([PROMPT] * rows, [[0, 1]] * rows), 1)
    first, second = exact(model, PROMPT[:1]), exact(model, PROMPT)
    joint = {(i, j): p * q for i, p in enumerate(first) for j, q in enumerate(second)}
    assert_drawn(Counter(tuple(row) for row in beams.items[..., 0].tolist()), joint)
    # Neighbouring rows, which are dealt neighbouring numbers.
    pairs = beams.items[:, 1, 0].view(-1, 2).tolist()
    joint = {(i, j): p * q for i, p in enumerate(second) for j, q in enumerate(second)}
    assert_drawn(Counter(map(tuple, pairs)), joint)


@st.composite
def catalogues(draw: st.DrawFn) -> list[list[int]]:
    levels = draw(st.integers(1, 4))
    row = st.lists(st.integers(0, VOCABULARY - 1), min_size=levels, max_size=levels)
    return draw(st.lists(row, min_size=1, max_size=16))


@BOTH
@pytest.mark.parametrize("megabytes", [0, 256])
@SCORES
@given(table=catalogues(), width=st.integers(1, 20), seed=st.integers(0, 9))
def test_all_draws_are_items_with_the_scores_of_the_beam_search(
    path_model: Make,
    replacement: bool,
    megabytes: int,
    score: Literal["vocabulary", "trie"],
    table: list[list[int]],
    width: int,
    seed: int,
) -> None:
    model = path_model(VOCABULARY)
    prompts, tips = [[3, 1], [0, 2]], [[0, 1, 1], [1, 0, 0]]
    options = {"score": score, "table_megabytes": megabytes}
    found = sampler(table, seed, replacement=replacement, temperature=1.7, **options)
    beams = found.search(model, model.trace(prompts, tips), width)
    assert beams.items.shape == beams.logp.shape == (2, 3, width)
    assert bool((beams.logp.diff() <= 0).logical_or(~beams.valid[..., 1:]).all())
    leaves = len({tuple(row) for row in table})
    assert beams.valid.sum(-1).unique().tolist() == [width if replacement else min(width, leaves)]
    assert torch.equal(beams.valid, beams.logp.isfinite())
    beam = TrieBeam(TrieBeamConfig(use="trie_beam", **options), Env())
    beam.bind(SidTable(torch.tensor(table)))
    # All that there is, from which to read the score of any item.
    every = beam.search(model, model.trace(prompts, tips), leaves)
    for b in range(2):
        for r in range(3):
            items = beams.items[b, r][beams.valid[b, r]].tolist()
            known = dict(zip(every.items[b, r].tolist(), every.logp[b, r].tolist(), strict=True))
            assert set(items) <= set(known)
            assert replacement or len(set(items)) == len(items)
            logp = torch.tensor([known[item] for item in items])
            torch.testing.assert_close(beams.logp[b, r, : len(items)], logp, atol=1e-4, rtol=1e-5)
            if not replacement and width >= leaves:
                assert set(items) == set(known)


@BOTH
@SCORES
def test_scores_are_the_models_without_temperature(path_model: Make, replacement: bool, score: str) -> None:
    model = path_model(VOCABULARY)
    found = sampler(replacement=replacement, score=score, temperature=2.5)
    beams = search(found, model, 7, 20)
    known = [math.log(p) for p in exact(model, PROMPT)]
    if score == "vocabulary":
        known = [sum(model.logp([*PROMPT, *sid[:m]], sid[m]) for m in range(3)) for sid in TABLE]
    torch.testing.assert_close(beams.logp, torch.tensor(known)[beams.items], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("number", "item"), [(0.0, 1), (1 - 2**-53, 6)])
def test_the_least_and_the_largest_number_draw_the_first_and_the_last_item(
    path_model: Make, monkeypatch: pytest.MonkeyPatch, number: float, item: int
) -> None:
    monkeypatch.setattr(
        _Draw, "uniform", lambda self, shape, device: torch.full(shape, number, dtype=torch.float64)
    )
    assert search(sampler(), path_model(VOCABULARY), 3).items.tolist() == [[[item] * 3]]
    draw = _Draw(1, 1.0, torch.Generator())
    assert bool(draw.gumbel((2,), torch.device("cpu")).isfinite().all())
    # Of children 1 to 5, under 1,000 distributions, some of which sum to less than 1 or to more.
    logits = torch.randn(1, 1000, 1, 7, generator=torch.Generator().manual_seed(3))
    allowed = torch.tensor([False, *[True] * 5, False]).expand_as(logits)
    assert draw.independent(logits, logits, allowed).unique().tolist() == [1 if number == 0 else 5]


def test_numbers_are_fine_grained() -> None:
    drawn = _Draw(1, 1.0, torch.Generator().manual_seed(0)).uniform((100_000,), torch.device("cpu"))
    assert len(drawn.unique()) == 100_000  # float32 has 2 ** 24 of them, of which some would recur


def test_distinct_draws_reach_items_of_hardly_any_probability(path_model: Make) -> None:
    found, model = sampler(replacement=False, temperature=0.002), path_model(VOCABULARY)
    # At a tenth of that temperature it is about the tenth power: 0 in a float64.
    assert 0 < min(exact(model, PROMPT, temperature=0.02)) < 1e-60
    beams = search(found, model, len(TABLE) + 2, 50)
    assert beams.items[:, 0].sort(dim=-1).values.tolist() == [[-1, -1, *range(len(TABLE))]] * 50


@BOTH
def test_searches_repeat_by_seed_and_order_of_calls(path_model: Make, replacement: bool) -> None:
    model = path_model(VOCABULARY)
    one, other = (sampler(seed=5, replacement=replacement) for _ in range(2))
    first, second = (search(one, model, 3, 20).items for _ in range(2))
    assert torch.equal(search(other, model, 3, 20).items, first)
    assert torch.equal(search(other, model, 3, 20).items, second)
    assert not torch.equal(first, second)
    elsewhere = sampler(seed=6, replacement=replacement)
    assert not torch.equal(search(elsewhere, model, 3, 20).items, first)
    elsewhere.reseed(5)
    assert torch.equal(search(elsewhere, model, 3, 20).items, first)


@BOTH
def test_given_draws_are_those_of_the_next_search_alone(path_model: Make, replacement: bool) -> None:
    """Rows 4 and 1 of six have the items that they have among all six; then its own numbers follow."""
    model = path_model(VOCABULARY)
    whole, share, own = (sampler(replacement=replacement) for _ in range(3))
    whole.draw_from(RowDraws("batch", range(6), 6))
    share.draw_from(RowDraws("batch", [4, 1], 6))
    every = search(whole, model, 3, 6).items
    assert torch.equal(search(share, model, 3, 2).items, every[[4, 1]])
    assert torch.equal(search(share, model, 3, 2).items, search(own, model, 3, 2).items)
    assert len({tuple(row) for row in every[:, 0].tolist()}) > 1


def test_generator_is_on_the_cpu_whatever_the_device() -> None:
    built = TrieSample(TrieSampleConfig(use="trie_sample"), Env(device="meta"))
    assert built.generator.device.type == "cpu"
    assert (built.config.replacement, built.config.temperature, built.config.score) == (True, 1.0, "trie")
    assert sorted(built.contract_exceptions) == [
        "a_branch_alone_is_the_branch_in_any_batch",
        "a_large_catalogue_is_ranked_too",
        "equal_scores_keep_their_order",
        "no_item_twice",
        "wide_search_ranks_the_whole_catalogue",
    ]


def test_independent_draws_do_not_depend_on_how_the_trie_is_stored_or_scored(path_model: Make) -> None:
    model = path_model(VOCABULARY)
    made = [sampler(table_megabytes=m, score=s) for m in (0, 256) for s in ("trie", "vocabulary")]
    sets = [search(found, model, 4, 50).items.sort(dim=-1).values for found in made]
    assert all(torch.equal(sets[0], items) for items in sets[1:])


@pytest.mark.parametrize(("replacement", "first"), [(True, 50), (False, 12)])
def test_one_block_a_level_and_the_last_is_not_fed(path_model: Make, replacement: bool, first: int) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.unique(torch.randint(0, 12, (500, 4), generator=generator), dim=0).tolist()
    model = path_model(VOCABULARY)
    found = sampler(table, replacement=replacement)
    found.search(model, model.trace([[1, 2, 3]], [[2, 1]]), 50)
    assert model.calls == [3, 2 * first, 2 * 50, 2 * 50]


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=8), st.floats(-50, 50))
def test_gumbels_given_their_maximum_keep_their_order(noisy: list[float], maximum: float) -> None:
    got = _with_maximum(
        torch.tensor([noisy], dtype=torch.float64), torch.tensor([maximum], dtype=torch.float64)
    )[0]
    assert float(got.max()) == pytest.approx(maximum)
    order = torch.tensor(noisy, dtype=torch.float64).argsort()
    assert bool((got[order].diff() >= 0).all())
    # G' = -log(exp(-maximum) - exp(-Z) + exp(-G)), where plain arithmetic is exact enough for it.
    if max(map(abs, noisy)) < 20 and abs(maximum) < 20:
        top = max(noisy)
        inside = [math.exp(-maximum) - math.exp(-top) + math.exp(-g) for g in noisy]
        scale = max(math.exp(-maximum), math.exp(-top))
        for value, terms in zip(got.tolist(), inside, strict=True):
            assert math.exp(-value) == pytest.approx(terms, rel=1e-9, abs=1e-9 * scale)
