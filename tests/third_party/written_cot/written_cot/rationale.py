"""Supervised learning of written reasoning: the negative log-likelihood of a teacher's text."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from written_cot.config import RationaleConfig


class Rationale:
    """The mean over the prompts with a text of the mean over what is written of it, its end included."""

    needs: tuple[str, ...] = ("rationale",)

    def __init__(self, config: RationaleConfig, env: Env) -> None:
        pass

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count and have a text."""
        return int(_held(lesson).sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their mean negative log-likelihoods."""
        trace = view.trace
        if trace.written is None or trace.written_logp is None:
            raise UserError("sft_objective taught_text: needs a latent_loop that writes, such as written_cot")
        length = (trace.written >= 0).sum(-1).clamp_min(1)
        return -(trace.written_logp.sum(-1) / length)[_held(view.lesson)].sum()


def _held(lesson: Lesson) -> Bool[Tensor, "B R"]:
    if lesson.rationale is None:
        return torch.zeros_like(lesson.prompts.mask)
    return lesson.prompts.mask & (lesson.rationale >= 0).any(-1)
