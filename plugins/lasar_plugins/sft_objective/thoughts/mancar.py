"""Steps held to a neighbourhood that narrows to the next item (Yang et al. 2026, arXiv:2602.20093; its code).

The prior of step t of N lives on the next item and the neighbours of the last one that the prompt shows, by
rank, the next item first: q_t(j) is softmax of -j / (gamma (N - t + 1)). Left out of ManCAR here: the
neighbours that its prompt shows beside the history.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Ranker
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.thoughts.config import MancarNeighboursConfig
from lasar_plugins.sft_objective.thoughts.steps import Steps, summed

ROWS = 512
"""Items whose scores of the whole catalogue are held at once."""


class MancarNeighbours:
    """KL(q_t || p_t) of a prompt's steps, p_t by the tokens that begin an item; one without steps adds 0.

    Of items of several tokens the first one counts. An item without neighbours is held to the next item.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: MancarNeighboursConfig, env: Env) -> None:
        assert env.build is not None
        assert env.table is not None
        assert env.items is not None
        assert env.train is not None
        self.config = config
        ranker: Ranker = env.build("ranker", config.source, env)
        ranker.fit(env.train, env.items)
        self.neighbours = neighbours(ranker, env.items.height, config.neighbours).to(env.device)
        self.items = env.table.tokens.to(env.device)
        self.tokens, first = torch.unique(self.items[:, 0], return_inverse=True)
        self.first = first

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Over the support, q (log q - log p)."""
        steps, mask = Steps.of(view, self.config.start), view.lesson.prompts.mask
        held, left = steps.held[mask], steps.left[mask]
        logits = view.backbone.logits(steps.states[mask], self.tokens).float()
        logp = (logits / self.config.temperature).log_softmax(-1)
        place, there = self.support(view.lesson)
        rank = (there.cumsum(-1) - 1)[:, None]
        heat = self.config.gamma * (left.clamp_min(0) + 1)[..., None]
        logq = (-rank / heat).masked_fill(~there[:, None], -torch.inf).log_softmax(-1)
        apart = logq.masked_fill(~there[:, None], 0.0) - logp.gather(
            -1, place[:, None].expand(-1, logp.shape[1], -1)
        )
        return summed((logq.exp() * apart).sum(-1)[held], held, self.config.over)

    def support(self, lesson: Lesson) -> tuple[Int[Tensor, "n K"], Bool[Tensor, "n K"]]:
        """Of each prompt that counts, among the tokens that begin an item: that of the next item, and those
        of the last one's neighbours, where they are there and another item."""
        prompts, target = lesson.prompts, lesson.targets[lesson.prompts.mask]
        place = torch.searchsorted(self.tokens, target[:, :1].contiguous()).clamp(max=len(self.tokens) - 1)
        if prompts.history is None:
            return place, torch.ones_like(place, dtype=torch.bool)
        last = prompts.history.gather(1, (prompts.items - 1).clamp_min(0))[prompts.mask]
        near = self.neighbours[last]
        there = (near >= 0) & (last >= 0)[:, None] & (self.items[near] != target[:, None]).any(-1)
        always = torch.ones_like(place, dtype=torch.bool)
        return torch.cat([place, self.first[near]], dim=1), torch.cat([always, there], dim=1)


def neighbours(ranker: Ranker, items: int, most: int) -> Int[Tensor, "I K"]:
    """The best items behind each item alone, itself left out, best first and -1 past the end; of equal ones
    the first of the item table."""
    found = np.full((items, min(most, items)), -1)
    for start in range(0, items, ROWS):
        asked = np.arange(start, min(start + ROWS, items))
        scores = ranker.score(list(asked[:, None]))
        scores[np.arange(len(asked)), asked] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, : found.shape[1]]
        listed = np.isfinite(np.take_along_axis(scores, best, axis=1))
        found[asked] = np.where(listed, best, -1)
    return torch.from_numpy(found)
