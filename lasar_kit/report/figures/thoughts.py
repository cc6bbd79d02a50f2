"""A thought after the other: how likely each number of them was, and how the answer changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lasar_kit.errors import UserError
from lasar_kit.report.figures.canvas import fill, named, style

SHOWN = 6
"""Tokens that are told apart; the others are one."""


def save_thoughts(
    file: Path, policy: Mapping[int, float], depth: int, first: Sequence[Mapping[str, float]]
) -> None:
    """Draw the depth policy, the chosen depth marked, and beside it after each thought the probability of the
    likeliest first tokens of a SID; `UserError` where the file cannot be written."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.2, 3.2))
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
        depths = list(policy)
        bars = left.bar(range(len(depths)), list(policy.values()), **fill(1))
        if depth in depths:
            bars[depths.index(depth)].set(**fill(0))
        left.set_xticks(range(len(depths)), list(map(str, depths)))
        left.set_xlabel("thoughts N (dark: chosen)")
        left.set_ylabel("probability")
        tokens = _likeliest(first)
        floor = np.zeros(len(first))
        for place, token in enumerate(tokens):
            share = np.array([row.get(token, 0.0) for row in first])
            right.bar(range(len(first)), share, bottom=floor, label=named(token), **fill(place))
            floor += share
        right.bar(
            range(len(first)), 1 - floor, bottom=floor, label="others", facecolor="none", edgecolor="#999999"
        )
        right.set_xticks(range(len(first)))
        right.set_ylim(0, 1)
        right.set_xlabel("stopped after so many thoughts")
        right.set_ylabel("probability of the first token")
        for axes in (left, right):
            axes.grid(axis="x", visible=False)
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        try:
            figure.savefig(file)
        except OSError as error:
            raise UserError(f"--figure {file}: {error.strerror or error}") from None


def _likeliest(first: Sequence[Mapping[str, float]]) -> list[str]:
    """The tokens that are likely after any of the thoughts, in the order in which they become so."""
    largest: dict[str, float] = {}
    for row in first:
        for token, probability in row.items():
            largest[token] = max(largest.get(token, 0.0), probability)
    kept = set(sorted(largest, key=lambda token: -largest[token])[:SHOWN])
    return [token for token in largest if token in kept]
