"""The reward of a candidate: the weighted sum of several rewards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Reward


def total_reward(
    rewards: Sequence[tuple[float, Reward]], candidates: Int[Tensor, "B G"], target: Int[Tensor, " B"]
) -> Float[Tensor, "B G"]:
    """Sum of (weight, reward) pairs over the same candidates; arguments as `Reward.reward` has them."""
    total = torch.zeros(candidates.shape, device=candidates.device)
    for weight, reward in rewards:
        total = total + weight * reward.reward(candidates, target)
    return total
