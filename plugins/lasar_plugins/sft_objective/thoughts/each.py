"""The next item behind every thought (progressive cross-entropy)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.thoughts.config import EachThoughtConfig
from lasar_plugins.sft_objective.thoughts.steps import Steps, cross_entropy, summed


class EachThought:
    """The mean over prompts of the weighted mean (or sum) over their steps; one that did not think adds 0."""

    needs: tuple[str, ...] = ()

    def __init__(self, config: EachThoughtConfig, env: Env) -> None:
        self.config = config

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their cross-entropies, by the stage's score."""
        config, steps = self.config, Steps.of(view, self.config.start)
        held = steps.held if config.last else steps.held & (steps.left > 0)
        number = 1 + torch.arange(held.shape[-1], device=held.device)
        temperature = config.temperature * config.alpha ** steps.left.clamp_min(0).float()
        temperature = temperature * number**config.power
        weights = torch.tensor(config.weights, device=held.device)
        weight = weights[(number - 1).clamp_max(len(weights) - 1)].expand_as(temperature)
        return summed(cross_entropy(view, steps, held, temperature) * weight[held], held, config.over)
