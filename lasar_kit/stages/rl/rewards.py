"""The reward of a candidate: the weighted sum of several rewards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.interfaces import Reward
from lasar_kit.core.values import Judged


def total_reward(rewards: Sequence[tuple[float, Reward]], judged: Judged) -> Float[Tensor, "B G"]:
    """Sum of (weight, reward) pairs over the same candidates."""
    total = torch.zeros(judged.candidates.shape, device=judged.candidates.device)
    for weight, reward in rewards:
        total = total + weight * reward.reward(judged)
    return total
