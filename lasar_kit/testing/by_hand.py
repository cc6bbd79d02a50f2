"""Scores of all items of a search, worked out one path of tokens at a time."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.testing.strategies import Search
from lasar_kit.testing.tiny import TinyBackbone


def by_hand(case: Search) -> list[Float[Tensor, "B R leaves"]]:
    """Scores of all items, one path at a time: over the vocabulary, and over what the catalogue allows."""
    results = []
    for allowed_only in (False, True):
        rows = [
            [_branch(case, b, r, allowed_only) for r in range(len(tips))]
            for b, tips in enumerate(case.thinking.tips)
        ]
        results.append(torch.tensor(rows))
    return results


@lru_cache(4096)
def _logits(backbone: TinyBackbone, path: tuple[int, ...]) -> Float[Tensor, " V"]:
    """Read behind a path of tokens; all decoders are asked about the same ones."""
    ids = torch.tensor([path])
    with torch.no_grad():
        hidden, _ = backbone.advance(backbone.embed(ids), torch.arange(-1, len(path) - 1)[None], None)
        return backbone.logits(hidden[0, -1]).double()


def _branch(case: Search, b: int, r: int, allowed_only: bool) -> list[float]:
    prompt = case.thinking.prompts[b][: case.thinking.tips[b][r] + 1]
    scores = []
    for leaf in case.leaves:
        total = 0.0
        for level, token in enumerate(leaf):
            prefix = tuple(leaf[:level])
            logits = _logits(case.backbone, (*prompt, *prefix))
            rivals = logits
            if allowed_only:
                rivals = rivals[sorted({row[level] for row in case.leaves if tuple(row[:level]) == prefix})]
            total += float(logits[token] - rivals.logsumexp(-1))
        scores.append(total)
    return scores
