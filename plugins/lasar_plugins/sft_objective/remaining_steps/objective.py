"""The negative log-likelihood of the steps that a loop is to write (Coconut's loss on words).

Coconut's code has one mean over the words of a batch and its answers; here they are two terms, and the words
of each prompt have one mean, so that long texts weigh no more than short ones.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.remaining_steps.config import RemainingStepsConfig


class RemainingSteps:
    """The mean over the prompts with a text of the mean over what is written of it, its end included."""

    needs: tuple[str, ...] = ("rationale",)

    def __init__(self, config: RemainingStepsConfig, env: Env) -> None:
        pass

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count and have a text."""
        return int(_held(lesson).sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over them; one of which nothing is left to write adds 0."""
        trace = view.trace
        assert trace.written is not None, "a loop that does not write is refused"
        assert trace.written_logp is not None
        length = (trace.written >= 0).sum(-1).clamp_min(1)
        return -(trace.written_logp.sum(-1) / length)[_held(view.lesson)].sum()


def _held(lesson: Lesson) -> Bool[Tensor, "B R"]:
    if lesson.rationale is None:
        return torch.zeros_like(lesson.prompts.mask)
    return lesson.prompts.mask & (lesson.rationale >= 0).any(-1)
