"""InfoNCE between each thought and its noisy copy (ReaRec)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from per_thought.config import NoisyThoughtsConfig


class NoisyThoughts:
    """The mean over prompts of the sum over their thoughts.

    Thought t is compared with the noisy thoughts t of all prompts that it is told from, and with its own.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: NoisyThoughtsConfig, env: Env) -> None:
        self.config = config

    @property
    def contract_exceptions(self) -> Mapping[str, str]:
        """With negatives of the batch, a prompt is compared with those it shares a pass with."""
        if self.config.negatives == "row":
            return {}
        return {
            "parts_add_up_to_the_whole": "negatives are the other prompts of a forward pass, as in ReaRec"
        }

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count; one that did not think adds 0."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Cross-entropies of finding one's own copy."""
        # Both are read on every process, whether anything counts there or not: all make the same calls.
        clean, noisy = view.trace, view.again(noise=self.config.noise).trace
        held = clean.mask & view.lesson.prompts.mask[..., None]
        found = [
            self.contrast(clean.states[:, :, t], noisy.states[:, :, t], held[..., t])
            for t in range(held.shape[-1])
        ]
        return torch.stack(found).sum() if found else clean.last.new_zeros(())

    def contrast(
        self, clean: Float[Tensor, "B R D"], noisy: Float[Tensor, "B R D"], held: Bool[Tensor, "B R"]
    ) -> Float[Tensor, ""]:
        """The term of one thought, over the prompts that have it."""
        row = torch.arange(len(held), device=held.device)[:, None].expand_as(held)[held]
        one, other = (normalize(states[held].float(), dim=-1) for states in (clean, noisy))
        logits = one @ other.T / self.config.temperature
        if self.config.negatives == "row":
            logits = logits.masked_fill(row[:, None] != row, -torch.inf)
        return cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="sum")
