"""Rollouts: for each prompt a depth, a group of candidates, and what they earn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.groups import masked_mean
from lasar_kit.core.interfaces import Decoder, Reward
from lasar_kit.core.policy import greedy_depth, nearest_choice, sampled_depth
from lasar_kit.core.rewards import total_reward
from lasar_kit.engine.prompts import PromptBatch
from lasar_kit.engine.recommender import Recommender
from lasar_kit.engine.rl_step import Group


@dataclass
class RolloutMaker:
    """Draws a depth for each prompt, shared by its G candidates, and lets a decoder make these (method 22).

    `generator` makes the draws on the CPU; None takes the most probable depth.
    """

    recommender: Recommender
    decoder: Decoder
    rewards: Sequence[tuple[float, Reward]]
    candidates: int
    accelerator: Accelerator
    generator: torch.Generator | None

    @torch.no_grad()
    def make(self, batch: PromptBatch, target: Int[Tensor, " B"]) -> Group:
        """The group of each prompt; the model is left in evaluation mode."""
        model = self.recommender.eval()
        prompt = model.read(batch)
        if self.generator is None:
            depth = greedy_depth(model.depth_policy, prompt.h0)
            index = nearest_choice(model.depth_policy, depth)
        else:
            depth, index, _ = sampled_depth(model.depth_policy, prompt.h0, self.generator)
        trace = model.latent_loop.run(model.backbone, prompt, depth, int(depth.max()))
        items = self.decoder.search(model.backbone, trace, self.candidates).items[:, 0]
        rewards = total_reward(self.rewards, items, target)
        mean = masked_mean(rewards, items >= 0).mean()
        world = self.accelerator.reduce(mean, reduction="mean")
        assert isinstance(world, Tensor)
        return Group(batch, items, rewards, depth[:, 0], index[:, 0], world)
