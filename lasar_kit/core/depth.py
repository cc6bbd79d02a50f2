"""How a depth is taken from a policy's distribution: one place, so that every policy is read alike."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import DepthPolicy
from lasar_kit.core.lesson import moved
from lasar_kit.core.values import Prompt
from lasar_kit.errors import UserError


def supported(policy: DepthPolicy, device: torch.device) -> Int[Tensor, " C"]:
    """The depths that a policy chooses among, on a device that need not be waited for."""
    return moved(torch.tensor(policy.support), device)


def greedy_depth(policy: DepthPolicy, prompt: Prompt) -> Int[Tensor, "B R"]:
    """The most probable depth of each branch (inference, paper Algorithm 1 line 1)."""
    return supported(policy, prompt.h0.device)[policy.logits(prompt).argmax(-1)]


def nearest_choice(policy: DepthPolicy, depth: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """Index of the choice nearest to each depth, the smaller one of two: labels clipped to the support."""
    return (depth[..., None] - supported(policy, depth.device)).abs().argmin(-1)


def depth_from(
    policy: DepthPolicy, least: Int[Tensor, "*S"], numbers: Float[Tensor, "*S"]
) -> Int[Tensor, "*S"]:
    """A depth drawn evenly among the policy's choices from (the nearest one to) `least` upwards.

    `numbers` in [0, 1) make the draw.
    """
    first = nearest_choice(policy, least)
    index = first + (numbers * (len(policy.support) - first)).long()
    return supported(policy, least.device)[index]


def depth_at(
    policy: DepthPolicy, prompt: Prompt, numbers: Float[Tensor, "B R"]
) -> tuple[Int[Tensor, "B R"], Int[Tensor, "B R"], Float[Tensor, "B R C"]]:
    """A depth drawn for each branch, its index in the support, and the log-distribution it came from.

    Paper section 2.4. `numbers`, float64 in [0, 1), make the draws: the cumulative distribution is inverted
    at each. Gradients run through the log-distribution alone.
    """
    logp = policy.logits(prompt).float().log_softmax(-1)
    # On the CPU: torch has no cumulative sum on a GPU that repeats bit by bit.
    cumulative = logp.detach().double().cpu().exp().cumsum(-1)
    # Divided by the total, else rounding could leave a number beyond all choices.
    cumulative = cumulative / cumulative[..., -1:]
    index = (cumulative <= numbers.cpu()[..., None]).sum(-1).to(logp.device)
    return supported(policy, logp.device)[index], index, logp


def forced_depth(policy: DepthPolicy, prompt: Prompt, k: int) -> Int[Tensor, "B R"]:
    """Depth `k` for every branch (paper Figure 4a); `UserError` unless the policy could choose it."""
    if k not in policy.support:
        valid = ", ".join(map(str, policy.support))
        raise UserError(f"depth {k} cannot be forced: this model's depth policy has {valid}")
    return torch.full_like(prompt.tip, k)
