"""The sentences of each step; a step that a history gives no ground for is None.

The five stages of GREAM's reasoning (paper E.2): behavioral evidence in three steps, latent preferences in
two, then intent, recommendation formulation and the denoised sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import median

from lasar_plugins.teacher.template.evidence import Evidence, Purchase

NAMED = 4
"""Things a sentence lists at most."""


def types(evidence: Evidence) -> str:
    """Tell what was bought; there for every history."""
    latest = _list([purchase.name for purchase in evidence.purchases[-3:]])
    bought = (
        f"The latest purchases are {latest}."
        if len(evidence.purchases) > 1
        else f"The only purchase is {latest}."
    )
    return f"Product types: {_tally(evidence.kinds)}. {bought}" if evidence.kinds else bought


def brands(evidence: Evidence) -> str | None:
    """Which brands; from two items of known brand on."""
    count, known = evidence.brands, evidence.brands.total()
    if known < 2:
        return None
    if len(count) == known:
        return f"Brands: {_tally(count)}. None of them was bought twice."
    return f"Brands: {_tally(count)}. {_first(count)} was bought again."


def prices(evidence: Evidence) -> str | None:
    """The price range; from three known prices on."""
    known = evidence.prices
    if len(known) < 3:
        return None
    return f"Prices run from {min(known):.2f} to {max(known):.2f}, half of them up to {median(known):.2f}."


def tastes(evidence: Evidence) -> str | None:
    """Tell what kind of thing is preferred; from two items of one group on."""
    if not evidence.groups or evidence.groups[_first(evidence.groups)] < 2:
        return None
    top, total = _first(evidence.groups), evidence.groups.total()
    within = [purchase.kind for purchase in evidence.purchases if purchase.group == top]
    inside = _list([kind for kind in dict.fromkeys(within) if kind != top])
    care = f"The customer cares most for {top}, {evidence.groups[top]} of {total} purchases"
    return f"{care}, in particular {inside}." if inside else f"{care}."


def habits(evidence: Evidence) -> str | None:
    """How brands and prices are chosen: a brand bought three times, or spending that moves by a quarter."""
    parts = []
    if evidence.brands and evidence.brands[_first(evidence.brands)] >= 3:
        parts.append(f"There is a clear loyalty to {_first(evidence.brands)}.")
    known = evidence.prices
    if len(known) >= 4:
        before, after = median(known[: len(known) // 2]), median(known[len(known) // 2 :])
        if after >= 1.25 * before:
            parts.append(f"Spending rises, from about {before:.2f} an item to about {after:.2f}.")
        elif before >= 1.25 * after:
            parts.append(f"Spending falls, from about {before:.2f} an item to about {after:.2f}.")
    return " ".join(parts) or None


def intent(evidence: Evidence) -> str | None:
    """Where the last purchases lead; from three items with a category on."""
    groups = evidence.latest_groups
    if len(groups) < 3:
        return None
    last = groups[-1]
    if groups[-2] == last:
        return f"The last purchases stay with {last}: the customer is completing what there is of it."
    if last in groups[:-2]:
        return f"The customer returns to {last} after {groups[-2]}: both are needed side by side."
    return f"The customer turns from {groups[-2]} to {last}: a new interest begins."


def formulation(evidence: Evidence) -> str | None:
    """Which properties would fit next, from the history alone; from two items with a category on."""
    if len(evidence.latest_groups) < 2:
        return None
    last = evidence.latest_groups[-1]
    text = f"What fits next belongs to {last} or goes with it"
    if evidence.brands and evidence.brands[_first(evidence.brands)] >= 2:
        text += f", preferably by {_first(evidence.brands)}"
    if len(evidence.prices) >= 3:
        text += f", at about {median(evidence.prices[-3:]):.2f}"
    return text + "."


def denoised(evidence: Evidence) -> str | None:
    """The history without what is beside the point: repeats, and strays from a group of three or more."""
    top = _first(evidence.groups) if evidence.groups else ""
    main = top if evidence.groups[top] >= 3 else None
    kept: list[Purchase] = []
    left: list[Purchase] = []
    for place, purchase in enumerate(evidence.purchases):
        stray = main and evidence.groups[purchase.group] == 1 and place < len(evidence.purchases) - 1
        (left if stray or purchase in kept else kept).append(purchase)
    if not left:
        return None
    chain = " → ".join(purchase.kind or purchase.name for purchase in kept[-6:])
    return f"Without {_list([purchase.name for purchase in left])} the sequence reads {chain}."


STEPS: tuple[tuple[str, Callable[[Evidence], str | None]], ...] = (
    ("Behavioral evidence, what was bought", types),
    ("Behavioral evidence, brands", brands),
    ("Behavioral evidence, prices", prices),
    ("Latent preferences, tastes", tastes),
    ("Latent preferences, habits", habits),
    ("User intent", intent),
    ("Recommendation formulation", formulation),
    ("Denoised sequence", denoised),
)


def _first(count: Counter[str]) -> str:
    return next(iter(count))


def _list(names: list[str]) -> str:
    """The first names, and how many more."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _tally(count: Counter[str]) -> str:
    return _list([f"{name} ({times})" if times > 1 else name for name, times in count.items()])
