"""What a study's numbers say, in one sentence that is never kinder than they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import ttest_rel

ALPHA = 0.05
METRIC = "NDCG@10"
NONE, CONTROLS, FIXED = "none", ("pause", "noise"), "fixed"


@dataclass(frozen=True)
class Contrast:
    """A spec that thinks against another row: how much higher its metric is on average, in how many of the
    seeds it is, and two-sided p-values over users (corrected for the number of rows) and over seeds."""

    name: str
    kind: str
    difference: float
    relative: float
    p_users: float
    p_seeds: float | None
    higher: int
    seeds: int

    @property
    def standing(self) -> str:
        """`better`: on users, on seeds where there are several, and in each of them; `likely`: the same, but
        for seeds taken as a sample; `worse`: on users; else `unclear`."""
        if self.p_users >= ALPHA or self.difference == 0:
            return "unclear"
        if self.difference < 0:
            return "worse"
        if self.higher < self.seeds:
            return "unclear"
        return "better" if self.p_seeds is None or self.p_seeds < ALPHA else "likely"

    @property
    def gains(self) -> bool:
        """Whether the spec is above the row."""
        return self.standing in ("better", "likely")


def over_seeds(first: Float[np.ndarray, " S"], second: Float[np.ndarray, " S"]) -> float | None:
    """The p-value of a paired t-test over seeds; None of a single one."""
    apart = first - second
    if len(apart) < 2:
        return None
    if np.ptp(apart) == 0:  # no spread to hold the mean against
        return 1.0 if apart[0] == 0 else 0.0
    return float(ttest_rel(first, second).pvalue)


def verdict(found: Sequence[Contrast], skipped: Mapping[str, str], slower: float | None = None) -> str:
    """Say whether thinking helps, by the row without thoughts, those whose thoughts carry nothing, and fixed
    depths; `skipped` rows could not be made, `slower` is what a user takes in times of no thoughts."""
    none = next((one for one in found if one.kind == NONE), None)
    if none is None:
        return "Not known: there is no row without thoughts to hold it against."
    parts = [_first(none, [one for one in found if one.kind in CONTROLS], skipped)]
    if none.gains and (tail := _depths([one for one in found if one.kind == FIXED])):
        parts.append(tail)
    if slower is not None:
        parts.append(f"a user takes {slower:.1f} times as long as without thoughts")
    if none.seeds == 1:
        parts.append("another seed may say otherwise")
    return "; ".join(parts) + "."


def _first(none: Contrast, controls: Sequence[Contrast], skipped: Mapping[str, str]) -> str:
    far = f"{abs(none.difference):.4f} ({abs(none.relative):.1%})"
    if none.standing == "worse":
        return f"No, it harms: {METRIC} is {far} lower with thoughts than without ({_p(none)})"
    if not none.gains:
        side = "above" if none.difference > 0 else "below"
        return f"Not shown: {METRIC} with thoughts is {far} {side} that without ({_p(none)})"
    gain = f"{METRIC} is {far} above that without thoughts ({_p(none)})"
    failing = [one for one in controls if not one.gains]
    if failing:
        told = " and ".join(_against(one) for one in failing)
        return f"Not by thinking: {gain}, but {told}"
    missing = [name for name in skipped if name not in {one.name for one in controls}]
    above = " and ".join(f"{one.name} (+{one.difference:.4f}, {_p(one)})" for one in controls)
    beyond = f", and above {above}" if above else ""
    if len(controls) < len(CONTROLS):
        lacking = f" ({', '.join(missing)})" if missing else ""
        return f"Perhaps: {gain}{beyond}, but a control is missing{lacking}"
    if any(one.standing == "likely" for one in (none, *controls)):
        return f"Likely, over users but not over seeds: {gain}{beyond}"
    return f"{'On one seed, yes' if none.seeds == 1 else 'Yes'}: {gain}{beyond}"


def _against(one: Contrast) -> str:
    """Of a control that the spec is not above."""
    if one.standing == "worse":
        return f"{one.name} do better still (by {-one.difference:.4f}, {_p(one)})"
    return f"it is not shown to be above {one.name} ({one.difference:+.4f}, {_p(one)})"


def _depths(fixed: Sequence[Contrast]) -> str:
    """What choosing a depth for each user adds to the best depth for all."""
    best = min(fixed, key=lambda one: one.difference, default=None)
    if best is None or best.gains:
        return ""
    if best.standing == "worse":
        return f"{best.name} does better still (by {-best.difference:.4f}, {_p(best)})"
    return f"choosing depths is not shown to beat {best.name} ({best.difference:+.4f}, {_p(best)})"


def _p(one: Contrast) -> str:
    """The p-value over users; that over seeds where it says less, and how many seeds agree where not all."""
    told = [f"p {_shown(one.p_users)}"]
    if one.p_users < ALPHA and one.p_seeds is not None and one.p_seeds >= ALPHA:
        told.append(f"over seeds p {_shown(one.p_seeds)}")
    if one.difference > 0 and one.higher < one.seeds:
        told.append(f"higher in {one.higher} of {one.seeds} seeds")
    return ", ".join(told)


def _shown(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
