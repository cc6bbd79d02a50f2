"""How a depth is taken from a policy's distribution: core code, so that every policy is read alike."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import DepthPolicy


def greedy_depth(policy: DepthPolicy, h0: Float[Tensor, "B R D"]) -> Int[Tensor, "B R"]:
    """The most probable depth of each branch (inference, paper Algorithm 1 line 1)."""
    support = torch.tensor(policy.support, device=h0.device)
    return support[policy.logits(h0).argmax(-1)]
