"""LatentR3's reinforcement learning (Zhang et al. 2025, arXiv:2505.19092, section 4.2; after its code).

A group is the thought of a prompt without noise and with, n copies in all. The reward of a copy is
r = -exp(-mean log p) over the next item's tokens; its advantage is r less the mean reward without noise,
divided by the length of the vector of all advantages. One update is made of a group, so the ratio of the
policy to itself is 1, its clip cannot act, and its gradient is that of log p. The authors' code has a KL term
of weight 0 here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.latentr3.config import LatentR3Config

SMALLEST = 1e-6
"""Added to the length of the advantages."""


class LatentR3:
    """Minus the mean over prompts, copies and tokens of ratio * advantage; with its value at ratio 1.

    With `baseline: own` the length is that of a prompt's own advantages; with `batch` advantages depend on
    which prompts share a forward pass.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: LatentR3Config, env: Env) -> None:
        self.config = config

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over them."""
        mask, targets = view.lesson.prompts.mask, view.lesson.targets
        copies = [view, *(view.again(noise=self.config.noise) for _ in range(self.config.copies))]
        logp = torch.stack([copy.token_logp(copy.answers[mask], targets[mask]) for copy in copies])
        advantage = self.advantages(-(-logp.detach().mean(-1)).exp())
        ratio = (logp - logp.detach()).exp()
        return -(ratio * advantage[..., None]).mean((0, 2)).sum()

    def advantages(self, rewards: Float[Tensor, "g n"]) -> Float[Tensor, "g n"]:
        """Of copies, the first without noise, of n prompts."""
        if self.config.baseline == "own":
            apart = rewards - rewards[:1]
            length: Tensor = torch.linalg.vector_norm(apart, dim=0)
        else:
            apart = rewards - rewards[0].mean()
            length = torch.linalg.vector_norm(apart)
        return apart / (length + SMALLEST)
