"""Continuous thoughts by self-distillation (CODI, Shen et al. 2025, arXiv:2502.21074, section 3; its code).

Teacher and student are one model, in one update: `[prompt] text <|lat_e|> [answer]` and `[prompt] thoughts
[answer]`. The states that predict the answer's first token are compared (the paper's Eq. for L_KD), the
teacher's as a constant; the student's cross-entropy is the objective `answer`. The authors compare the states
of all layers; a backbone gives those of the last one alone, and so does this. Their standard deviation is
over a whole batch, here it is each state's own, so that a batch may be split.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.chains import follow
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.token_logp import token_logp
from lasar_kit.core.values import Context, Env
from lasar_kit.core.vocabulary import LATENT_END
from lasar_plugins.sft_objective.codi.config import CodiConfig

SMALLEST = 1e-6
"""A standard deviation is no smaller."""


@dataclass(frozen=True)
class Told:
    """Texts, read: the states at all words and the end behind each, these tokens, and the number of words.

    `last` are the states at the ends, and `tip` their nodes.
    """

    states: Float[Tensor, "B R V D"]
    ids: Int[Tensor, "B R V"]
    length: Int[Tensor, "B R 1"]
    last: Float[Tensor, "B R D"]
    tip: Int[Tensor, "B R"]
    context: Context

    @classmethod
    def of(cls, view: SftView, words: Int[Tensor, "B R W"]) -> Told:
        """Read them behind their prompts; what stands behind an end is a branch that nobody asks for."""
        prompt, end = view.prompt, view.backbone.tokenizer.convert_tokens_to_ids(LATENT_END)
        length = (words >= 0).sum(-1, keepdim=True)
        ids = torch.cat([words.masked_fill(words < 0, end), torch.full_like(length, end)], dim=-1)
        states, _, context = follow(view.backbone, ids, prompt.tip, prompt.context)
        at = length[..., None].expand(-1, -1, 1, states.shape[-1])
        branch = torch.arange(ids.shape[1], device=ids.device)
        tip = prompt.context.length + branch * ids.shape[2] + length[..., 0]
        return cls(states, ids, length, states.gather(2, at)[:, :, 0], tip, context)


class Codi:
    """The mean over the prompts with a text of `distill` * distance + `teacher` * cross-entropies.

    The text's is a mean over its words and its end, the answer's behind it one over the answer's tokens. A
    prompt that did not think has no distance.
    """

    needs: tuple[str, ...] = ("rationale",)

    def __init__(self, config: CodiConfig, env: Env) -> None:
        self.config = config

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count and have a text."""
        return int(_held(lesson).sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over them."""
        held, words = _held(view.lesson), view.lesson.rationale
        assert words is not None, "asked for by `needs`"
        told = Told.of(view, words)
        thought = held & view.trace.mask.any(-1)
        loss = self.config.distill * self.apart(view.trace.last[thought], told.last[thought]).sum()
        if not self.config.teacher:
            return loss
        return loss + self.config.teacher * (_words(view, told, held) + _answers(view, told, held))

    def apart(self, student: Float[Tensor, "n D"], teacher: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        """The distance of each pair of states, in float32."""
        one, other = student.float(), teacher.detach().float()
        measure = F.l1_loss if self.config.distance == "l1" else F.smooth_l1_loss
        distance: Tensor = measure(one, other, reduction="none").mean(-1)
        if self.config.divide == "none":
            return distance
        centred = other - other.mean(-1, keepdim=True)  # torch's own warns where there is no state
        spread = (centred.square().sum(-1) / (other.shape[-1] - 1)).sqrt()
        return distance / spread.clamp_min(SMALLEST)


def _words(view: SftView, told: Told, held: Bool[Tensor, "B R"]) -> Float[Tensor, ""]:
    """The sum over prompts of the mean negative log-likelihood of a text's words and its end."""
    before = torch.cat([view.prompt.h0[:, :, None], told.states[:, :, :-1]], dim=2)
    place = torch.arange(told.ids.shape[-1], device=held.device)
    counted = (place <= told.length) & held[..., None]
    chosen = token_logp(view.backbone, before[counted], told.ids[counted])
    return -(chosen / (told.length + 1).expand_as(counted)[counted]).sum()


def _answers(view: SftView, told: Told, held: Bool[Tensor, "B R"]) -> Float[Tensor, ""]:
    """The sum over prompts of the mean negative log-likelihood of the answer's tokens behind a text."""
    targets, states = view.lesson.targets, told.last[:, :, None]
    if targets.shape[-1] > 1:
        fed, _, _ = follow(view.backbone, targets[..., :-1], told.tip, told.context)
        states = torch.cat([states, fed], dim=2)
    return -view.token_logp(states[held], targets[held]).mean(-1).sum()


def _held(lesson: Lesson) -> Bool[Tensor, "B R"]:
    if lesson.rationale is None:
        return torch.zeros_like(lesson.prompts.mask)
    return lesson.prompts.mask & (lesson.rationale >= 0).any(-1)
