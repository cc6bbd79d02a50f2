"""What ReaRec trains besides the answer (Tang et al. 2025, arXiv:2503.22675; after its code).

Steps are r_0, the prompt's last state, and the thoughts r_1 .. r_T. The answer's own cross-entropy, at the
same temperature, is the objective `answer`: behind the last step (PRL, loop `rearec` with `exit: last`) or
the mean of all (ERL, `exit: mean`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.thoughts.config import RearecErlConfig, RearecPrlConfig
from lasar_plugins.sft_objective.thoughts.steps import Steps, cross_entropy, summed


class RearecPrl:
    """Progressive reasoning learning: the mean over prompts of two terms, 0 for one that did not think.

    Progressive: over t < T, cross-entropy of the answer at `temperature * alpha^(T - t)`. Contrast: over
    t >= 1, InfoNCE that tells a noisy thought t's clean one from those of other prompts, after the warm-up.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: RearecPrlConfig, env: Env) -> None:
        self.config = config

    @property
    def contract_exceptions(self) -> Mapping[str, str]:
        """With negatives of the batch a prompt is compared with those that it shares a pass with."""
        if self.config.negatives == "row" or not self.config.contrast or self.config.warmup:
            return {}
        return {"parts_add_up_to_the_whole": "negatives are the other prompts of a forward pass"}

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Both terms by their weights."""
        config, steps = self.config, Steps.of(view, start=True)
        early = steps.held & (steps.left > 0)
        heat = config.temperature * config.alpha ** steps.left.clamp_min(0).float()
        loss = config.progressive * summed(cross_entropy(view, steps, early, heat), early, config.over)
        if config.contrast and view.lesson.epoch >= config.warmup:
            loss = loss + config.contrast * self._contrast(view)
        return loss

    def _contrast(self, view: SftView) -> Float[Tensor, ""]:
        # Both are read on every process, whether anything counts there or not: all make the same calls.
        clean, noisy = view.trace, view.again(noise=self.config.noise).trace
        held = clean.mask & view.lesson.prompts.mask[..., None]
        found = [
            self.told_apart(noisy.states[:, :, t], clean.states[:, :, t], held[..., t])
            for t in range(held.shape[-1])
        ]
        # Thought by thought, as `held` lies once its thoughts come first.
        terms = torch.cat(found) if found else clean.last.new_zeros(0)
        return summed(terms, held.movedim(-1, 0), self.config.over, among=0)

    def told_apart(
        self, noisy: Float[Tensor, "B R D"], clean: Float[Tensor, "B R D"], held: Bool[Tensor, "B R"]
    ) -> Float[Tensor, " n"]:
        """-log softmax of a noisy thought's own clean one among it and those it is to be told from."""
        one, other = noisy[held].float(), clean[held].float()
        if self.config.similarity == "cosine":
            one, other = F.normalize(one, dim=-1), F.normalize(other, dim=-1)
        logits = one @ other.T / self.config.temperature
        row = torch.arange(len(held), device=held.device)[:, None].expand_as(held)[held]
        own, same = torch.arange(len(logits), device=held.device), row[:, None] == row
        # Prompts of one history are nearly alike: to take one for another is no mistake.
        left_out = ~same if self.config.negatives == "row" else same & (own[:, None] != own)
        logits = logits.masked_fill(left_out, -torch.inf)
        return F.cross_entropy(logits, own, reduction="none")


class RearecErl:
    """Ensemble reasoning learning: minus the mean over prompts of the mean over i != j of KL(p_j || sg p_i).

    p are the steps' distributions over the tokens that begin an item; ReaRec's weight is 0.05, the weight of
    this term. One that did not think adds 0.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: RearecErlConfig, env: Env) -> None:
        assert env.table is not None
        self.temperature = config.temperature
        self.tokens = torch.unique(env.table.tokens[:, 0]).to(env.device)

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Sum over i of KL(p_j || sg p_i) is (S - 1) p_j log p_j less p_j's product with the others' logs."""
        steps, counted = Steps.of(view, start=True), view.lesson.prompts.mask
        held, states = steps.held[counted], steps.states[counted]
        logp = (view.backbone.logits(states, self.tokens).float() / self.temperature).log_softmax(-1)
        p = logp.exp().masked_fill(~held[..., None], 0.0)
        fixed = logp.detach().masked_fill(~held[..., None], 0.0)
        number = held.sum(-1)
        own = (number - 1).clamp_min(0)[:, None] * (p * logp).sum(-1)
        cross = (p * (fixed.sum(1, keepdim=True) - fixed)).sum(-1)
        pairs = (number * (number - 1)).clamp_min(1)
        loss: Tensor = -((own - cross).sum(-1) / pairs).sum()
        return loss
