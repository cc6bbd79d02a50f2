"""The terms of explicit chain of thought: the text, and the answer without it (GREAM, arXiv:2510.20815)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.chains import follow
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.sft_objective.rationale.config import DirectAnswerConfig, RationaleConfig


class Rationale:
    """The mean over the prompts with a text of the mean over what is written of it, its end included."""

    needs: tuple[str, ...] = ("rationale",)

    def __init__(self, config: RationaleConfig, env: Env) -> None:
        pass

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count and have a text."""
        return int(_with_text(lesson).sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their mean negative log-likelihoods."""
        trace = view.trace
        if trace.written is None or trace.written_logp is None:
            raise UserError("sft_objective rationale: needs a latent_loop that writes, such as 'written'")
        length = (trace.written >= 0).sum(-1).clamp_min(1)
        return -(trace.written_logp.sum(-1) / length)[_with_text(view.lesson)].sum()


class DirectAnswer:
    """The mean over answer tokens right behind the prompt, of the prompts with a text."""

    needs: tuple[str, ...] = ("rationale",)

    def __init__(self, config: DirectAnswerConfig, env: Env) -> None:
        pass

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Answer tokens of the prompts that count and have a text; those of others are direct anyway."""
        return int(_with_text(lesson).sum()) * lesson.targets.shape[-1]

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their negative log-likelihoods; the prompt is read once for both answers."""
        prompt, targets, held = view.prompt, view.lesson.targets, _with_text(view.lesson)
        states = prompt.h0[:, :, None]
        if targets.shape[-1] > 1:
            behind, _, _ = follow(view.backbone, targets[..., :-1], prompt.tip, prompt.context)
            states = torch.cat([states, behind], dim=2)
        return -view.token_logp(states[held], targets[held]).sum()


def _with_text(lesson: Lesson) -> Bool[Tensor, "B R"]:
    if lesson.rationale is None:
        return torch.zeros_like(lesson.prompts.mask)
    return lesson.prompts.mask & (lesson.rationale >= 0).any(-1)
