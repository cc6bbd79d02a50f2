"""L_CE: the cross-entropy of the next item's tokens (paper section 2.3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.answer.config import AnswerConfig


class Answer:
    """The mean over all answer tokens."""

    needs: tuple[str, ...] = ()

    def __init__(self, config: AnswerConfig, env: Env) -> None:
        self.temperature = config.temperature

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Answer tokens of the prompts that count."""
        return int(lesson.prompts.mask.sum()) * lesson.targets.shape[-1]

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their negative log-likelihoods."""
        mask = view.lesson.prompts.mask
        states, heat = view.answers[mask], None
        if self.temperature != 1:
            heat = torch.full((len(states),), self.temperature, device=states.device)
        return -view.token_logp(states, view.lesson.targets[mask], heat).sum()
