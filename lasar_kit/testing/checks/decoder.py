"""Laws for every decoder (paper E.6.1)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from lasar_kit.core.capabilities import Extends, SearchesAmong
from lasar_kit.core.interfaces import Decoder
from lasar_kit.core.values import Beams, LatentTrace, SidTable
from lasar_kit.testing import tiny
from lasar_kit.testing.by_hand import by_hand
from lasar_kit.testing.compare import close, furthest
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.crowds import CROWDS, Crowd
from lasar_kit.testing.limited import Limited, limited
from lasar_kit.testing.strategies import Search, searches
from lasar_kit.testing.thinking import read_prompts


def _trace(search: Search) -> LatentTrace:
    prompt = read_prompts(search.backbone, search.thinking).prompt
    nothing = torch.zeros(*prompt.tip.shape, 0, dtype=torch.bool)
    last = prompt.h0.detach()
    return LatentTrace(
        last.new_zeros(*prompt.tip.shape, 0, tiny.WIDTH), nothing, last, prompt.tip, prompt.context
    )


def _given(case: Search) -> dict[str, Any]:
    return {
        "sids": case.sids,
        "backbone": case.backbone,
        "trace": _trace(case),
        "width": case.width,
    }


def _bind(component: Decoder, inputs: dict[str, Any]) -> None:
    component.bind(inputs["sids"])


def _act(component: Decoder, inputs: dict[str, Any]) -> dict[str, Any]:
    beams = component.search(inputs["backbone"], inputs["trace"], inputs["width"])
    return {"items": beams.items, "logp": beams.logp}


TYPES = {"items": (torch.int64,), "logp": (torch.float32,)}
decoder = Contract("decoder", Decoder, searches(), _given, _act, settle=_bind, types=TYPES, forgets=True)


def _search(subject: Subject, case: Search) -> Beams:
    component = subject.fresh()
    component.bind(case.sids)
    beams: Beams = component.search(case.backbone, _trace(case), case.width)
    shape = [len(case.thinking.tips), len(case.thinking.tips[0]), case.width]
    for name, values in (("items", beams.items), ("logp", beams.logp)):
        expect(list(values.shape) == shape, f"{name} has shape {list(values.shape)}, not [B, R, W] = {shape}")
    return beams


@decoder.check("Follow a trie of the catalogue, and fill what is missing with item -1 and logp -inf.")
def results_are_items_of_the_catalogue(subject: Subject, case: Search) -> None:
    """Items are rows of the table, the first of those that share a SID; what is missing is -1 with -inf."""
    beams = _search(subject, case)
    first = {case.table.index(row) for row in case.leaves}
    found = set(beams.items[beams.valid].tolist())
    expect(
        found <= first, f"items {sorted(found - first)}; the first items of their SIDs are {sorted(first)}"
    )
    expect((beams.items >= -1).all(), f"an item is {int(beams.items.min())}")
    agree = beams.valid == beams.logp.isfinite()
    expect(agree.all(), "an item has logp -inf, or what is no item has another")


@decoder.check("Extend distinct prefixes only: of one prefix each token once.")
def no_item_twice(subject: Subject, case: Search) -> None:
    """A branch holds no item twice."""
    beams = _search(subject, case)
    for row in beams.items.flatten(0, 1).tolist():
        items = [item for item in row if item >= 0]
        expect(len(set(items)) == len(items), f"a branch holds items {items}")


@decoder.check("Sort by logp, largest first, what is missing last.")
def best_come_first(subject: Subject, case: Search) -> None:
    """Log-probabilities do not rise along a branch."""
    logp = _search(subject, case).logp
    rises = (logp[..., 1:] > logp[..., :-1]).any(-1)
    expect(not rises.any(), f"a branch has logp {logp[rises][0].tolist() if rises.any() else ''}")


@decoder.check(
    "Add the log-probabilities of an item's tokens, each given the prompt, the thoughts and those before it."
)
def scores_are_the_models(subject: Subject, case: Search) -> None:
    """An item's logp is the sum over its tokens, among all tokens or among those the catalogue allows."""
    beams = _search(subject, case)
    known = [_gathered(scores, beams, case) for scores in by_hand(case)]
    found = beams.logp[beams.valid]
    fits = any(close(found, expected) for expected in known)
    expect(
        fits,
        f"among all tokens, a logp is {furthest(found, known[0])}; among those allowed "
        f"{furthest(found, known[1])}",
    )


@decoder.check("Keep `width` prefixes at every level and score them all; stop early nowhere.")
def wide_search_ranks_the_whole_catalogue(subject: Subject, case: Search) -> None:
    """A search as wide as the catalogue finds every item, in the order of the model's scores."""
    case = replace(case, width=max(case.width, len(case.leaves)))
    beams = _search(subject, case)
    counts = beams.valid.sum(-1).flatten().tolist()
    expect(counts == [len(case.leaves)] * len(counts), f"found {counts} of {len(case.leaves)} items")
    orders = [scores.sort(-1, descending=True).values for scores in by_hand(case)]
    found = beams.logp[..., : len(case.leaves)]
    fits = any(close(found, expected) for expected in orders)
    expect(fits, f"over all tokens, a logp is {furthest(found, orders[0])}")


@decoder.check(
    "Close the nodes below which nothing is allowed, at every level; what is filtered afterwards is missing.",
    cases=limited(),
    examples=60,  # few of them leave out what is best
)
def a_wide_search_under_constraints_is_brute_force(subject: Subject, case: Limited) -> None:
    """Where there is `search_among`: as wide as the catalogue it ranks the allowed items by the scores that
    they have among all; of any width it finds as many of them as there are, or as it is wide."""
    if not isinstance(subject.component, SearchesAmong):
        return
    scores = by_hand(case.search)
    for width in (max(case.search.width, len(case.search.leaves)), case.search.width, 1):
        beams = _among(subject, case.narrow(width))
        for b, found in enumerate(beams.items.tolist()):
            _expect_allowed(case, b, found, width)
        known = [_gathered(one, beams, case.search) for one in scores]
        fits = any(close(beams.logp[beams.valid], one) for one in known)
        expect(
            fits,
            f"of width {width}, over all tokens, a logp is {furthest(beams.logp[beams.valid], known[0])}",
        )
        falls = beams.logp[..., 1:] <= beams.logp[..., :-1]
        expect(falls.all(), f"of width {width}, logp rises along a branch")


def _among(subject: Subject, case: Limited) -> Beams:
    component = subject.fresh()
    component.bind(case.search.sids)
    beams: Beams = component.search_among(
        case.search.backbone, _trace(case.search), case.search.width, case.allowed
    )
    return beams


def _expect_allowed(case: Limited, b: int, found: list[list[int]], width: int) -> None:
    """That each branch of row b holds allowed items, each once, as many as there are or as it is wide."""
    table, leaves = case.search.table, case.search.leaves
    allowed = case.leaves(b)
    first = {table.index(leaves[leaf]) for leaf in allowed}
    for row in found:
        items = [item for item in row if item >= 0]
        told = f"of width {width}, row {b} lists {items}; the first items of allowed SIDs are {sorted(first)}"
        expect(set(items) <= first and len(items) == min(width, len(first)), told)
        expect(len(set(items)) == len(items), told)


def _narrow(case: Crowd) -> Search:
    """A narrow search of a large catalogue, in which one that draws is seen to."""
    return replace(case.search, width=3)


@decoder.check(
    "Keep rows and branches apart: those of one are not those of another.",
    cases=st.one_of(searches(), st.builds(_narrow, CROWDS)),
    examples=40,
)
def a_branch_alone_is_the_branch_in_any_batch(subject: Subject, case: Search) -> None:
    """A branch has the beams in a batch that it has alone."""
    together = _search(subject, case)
    for b, r in product(range(len(case.thinking.tips)), range(len(case.thinking.tips[0]))):
        alone = _search(subject, replace(case, thinking=case.thinking.only(b, r)))
        expect_close(
            together.logp[b, r], alone.logp[0, 0], f"branch [{b}, {r}] among others, not alone: a logp is"
        )


@decoder.check("Replace in bind all that the last catalogue left.")
def another_catalogue_may_be_bound(subject: Subject, case: Search) -> None:
    """A decoder bound a second time is that of the second catalogue."""
    reused = subject.fresh()
    reused.bind(SidTable(torch.tensor([[5, 6, 7, 8], [8, 7, 6, 5]])))
    reused.bind(case.sids)
    found = reused.search(case.backbone, _trace(case), case.width)
    expected = _search(subject, case)
    same = torch.equal(found.items, expected.items) and torch.equal(found.logp, expected.logp)
    expect(
        same, f"items {found.items.flatten().tolist()}, bound but once {expected.items.flatten().tolist()}"
    )


@decoder.check(
    "Let extend leave what bind would of the whole table: new prefixes among the old, new rows behind them."
)
def an_extended_catalogue_is_a_bound_one(subject: Subject, case: Search) -> None:
    """Where there is `extend`: bound to some items and extended by the others, it searches as one bound to
    all."""
    if not isinstance(subject.component, Extends):
        return
    expected = _search(subject, case)
    for count in {1, (len(case.table) + 1) // 2}:
        component = subject.fresh()
        component.bind(SidTable(case.sids.tokens[:count]))
        component.extend(case.sids)
        found = component.search(case.backbone, _trace(case), case.width)
        told = f"{count} items and {len(case.table) - count} more: items {found.items.flatten().tolist()}, "
        told += f"bound at once {expected.items.flatten().tolist()}"
        expect(torch.equal(found.items, expected.items) and close(found.logp, expected.logp), told)


def _crowded(case: Crowd) -> Search:
    return case.search


@decoder.check(
    "Cap neither prefixes nor items below `width`, and let equal scores displace nothing.",
    cases=st.builds(_crowded, CROWDS),
    examples=4,
)
def a_large_catalogue_is_ranked_too(subject: Subject, case: Search) -> None:
    """Of more than twenty items, many of them with equal scores, each is found once, with its score."""
    no_item_twice(subject, case)
    scores_are_the_models(subject, case)
    wide_search_ranks_the_whole_catalogue(subject, case)


@decoder.check("Break ties by a rule: sort with stable=True; topk keeps no order.", cases=CROWDS, examples=6)
def equal_scores_keep_their_order(subject: Subject, case: Crowd) -> None:
    """Items of equal scores come in the order they have alone, and a narrow search of one level keeps it."""
    whole = case.search
    items = _search(subject, whole).items
    for r in range(2):
        alone = _search(subject, replace(whole, thinking=whole.thinking.only(0, r))).items[0, 0].tolist()
        found = items[0, r].tolist()
        expect(found == alone, f"branch {r} among others has items {found}, alone {alone}")
    widths = (1, 4, 10, 17) if case.levels == 1 else ()
    for width in widths:
        narrow = _search(subject, replace(whole, width=width)).items
        told = f"{narrow[0, 0].tolist()} of width {width}, {items[0, 0].tolist()} of width {whole.width}"
        expect(torch.equal(narrow, items[..., :width]), told)


def _gathered(scores: Tensor, beams: Beams, case: Search) -> Tensor:
    """The scores of the items that were found."""
    place = torch.tensor([case.leaves.index(row) for row in case.table])
    index = place[beams.items.clamp_min(0)]
    return scores.gather(-1, index)[beams.valid]
