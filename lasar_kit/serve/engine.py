"""What a model answers to requests with constraints, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.core.values import Beams, Prompt
from lasar_kit.model.ranking import Ranking, whole_lists
from lasar_kit.model.recommender import Recommender

OF_A_THOUGHT = 5
"""Items that are told of each thought."""
ALL = Limit(np.zeros(0, dtype=np.int64))
"""Nothing is left out."""


@dataclass(frozen=True)
class Asked:
    """One history of rows, oldest first, and what its list is to be.

    `depth` is None where the model's policy chooses; `width` how wide the search is, k or more.
    """

    history: Int[np.ndarray, " H"]
    k: int
    width: int
    limit: Limit = ALL
    depth: int | None = None
    thoughts: bool = False

    @property
    def together(self) -> tuple[int, bool]:
        """What those that are answered in one batch have in common: a search of another width may find
        other items, and no answer may depend on who else asks."""
        return self.width, self.thoughts


@dataclass(frozen=True)
class Told:
    """Items, best first, and their log-probabilities."""

    items: Int[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Answer:
    """A list, how many thoughts came before it, and what the model would have listed after none, one, and so
    on."""

    best: Told
    depth: int
    thoughts: tuple[Told, ...] = ()


def answers(recommender: Recommender, asked: Sequence[Asked]) -> list[Answer]:
    """An answer to each, from one batch; they are alike in `together`, and each is what it would be alone."""
    first = asked[0]
    limits = [one.limit for one in asked]
    given = [-1 if one.depth is None else one.depth for one in asked]
    with torch.inference_mode():
        device = recommender.device
        allowed = Allowed.of(limits, device) if any(limit is not ALL for limit in limits) else None
        prompt = recommender.read(recommender.prompts.prompts([one.history for one in asked]).to(device))
        forced = torch.tensor(given, device=device)[:, None]
        depth = torch.where(forced < 0, recommender.choose_depth(recommender.depth_policy, prompt), forced)
        trace = recommender.think(prompt, depth)
        found = _told(recommender, recommender.search(trace, first.width, allowed), limits)
        depth = depth if trace.depth is None else trace.depth
        steps = [_after_thoughts(recommender, prompt, depth, first.width, allowed)] if first.thoughts else []
    thoughts = [_told(recommender, beams, limits) for beams in steps]
    often = depth[:, 0].tolist()
    return [
        Answer(
            _first(found[b][0], one.k),
            often[b],
            tuple(_first(told, OF_A_THOUGHT) for lists in thoughts for told in lists[b][: often[b] + 1]),
        )
        for b, one in enumerate(asked)
    ]


def _after_thoughts(
    recommender: Recommender, prompt: Prompt, depth: Int[Tensor, "B 1"], width: int, allowed: Allowed | None
) -> Beams:
    """What is found after each thought: branch t of a prompt thinks t times, at most as often as it did."""
    count = int(depth.max()) + 1
    often = torch.arange(count, device=depth.device).minimum(depth)
    return recommender.search(recommender.think(prompt.branched(count), often, count - 1), width, allowed)


def _told(recommender: Recommender, beams: Beams, limits: Sequence[Limit]) -> list[list[Told]]:
    """The lists of each row's branches."""
    items, scores = beams.items.cpu().numpy(), beams.logp.float().cpu().numpy()
    rows, branches, width = items.shape
    depth = np.zeros(rows * branches, dtype=np.int64)
    own = [limit for limit in limits for _ in range(branches)]
    flat = Ranking(items.reshape(-1, width), scores.reshape(-1, width), depth)
    whole = whole_lists(flat, recommender.prompts.table, own)
    lists = [
        Told(row[row >= 0], row_scores[row >= 0])
        for row, row_scores in zip(whole.items, whole.scores, strict=True)
    ]
    return [lists[b * branches : (b + 1) * branches] for b in range(rows)]


def _first(told: Told, k: int) -> Told:
    return Told(told.items[:k], told.scores[:k])
