"""The progressive cross-entropy of ReaRec: sum over t of CE(logits of thought t / (tau alpha^(T - t)))."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from per_thought.config import PerThoughtConfig


class PerThought:
    """The mean over prompts of the sum over their thoughts.

    Of an item of several tokens the first one is predicted; of one token, the item. ReaRec's own last term,
    the cross-entropy of the answer, is that of the last thought here.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: PerThoughtConfig, env: Env) -> None:
        self.config = config

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count; one that did not think adds 0."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their cross-entropies, by the stage's score."""
        trace, lesson = view.trace, view.lesson
        held = trace.mask & lesson.prompts.mask[..., None]
        left = trace.mask.sum(-1, keepdim=True) - 1 - torch.arange(held.shape[-1], device=held.device)
        temperature = self.config.temperature * self.config.sharpening ** left.float()
        first = lesson.targets[..., None, :1].expand(*held.shape, 1)
        return -view.token_logp(trace.states[held][:, None], first[held], temperature[held]).sum()
