"""Sparse-regularised group policy optimisation (GREAM, arXiv:2510.20815).

Where few candidates hit, a z-score of rewards says little: a second term asks that any of K candidates hits.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.grpo.config import SrpoConfig
from lasar_plugins.rl_objective.grpo.objective import Grpo


class Srpo(Grpo):
    """GRPO with the advantage `z-score + bonus * pass@K term`; a hit earns `success` or more."""

    config: SrpoConfig

    def __init__(self, config: SrpoConfig, env: Env) -> None:
        super().__init__(config, env)
        if config.bonus and 0 < config.success <= 1:
            why = "beside a hit, one that earned its group's mean is a miss all the same"
            laws = ("the_reference_pulls", "clipping_is_on_both_sides")
            self.contract_exceptions = {**self.contract_exceptions, **dict.fromkeys(laws, why)}

    def loss(self, rollout: Rollout) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """With the share of groups of which some candidates hit and others do not."""
        loss, report = super().loss(rollout)
        hit = self._hits(rollout.rewards, rollout.valid)
        mixed = hit.any(1) & (rollout.valid & ~hit).any(1)
        return loss, {**report, "mixed_groups": float(mixed.float().mean())}

    def _advantage(self, rewards: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> Float[Tensor, "B G"]:
        """Of mean 0 in each group, as both terms are."""
        hit = self._hits(rewards, valid)
        return super()._advantage(rewards, valid) + self.config.bonus * pass_term(hit, valid, self.config.k)

    def _hits(self, rewards: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> Bool[Tensor, "B G"]:
        return valid & (rewards >= self.config.success)


def pass_term(hit: Bool[Tensor, "B G"], valid: Bool[Tensor, "B G"], k: int) -> Float[Tensor, "B G"]:
    """Advantages of candidates by what k of the group's n are worth together: 1 if any of them hits, else 0.

    With c hits the mean worth of k is rho = 1 - C(n - c, k) / C(n, k), its deviation sigma = sqrt(rho (1 -
    rho)). A candidate's advantage is the mean of (worth - rho) / sigma over the choices of k that it is in:
    (1 - rho) / sigma for a hit, (1 - rho - C(n - c - 1, k - 1) / C(n - 1, k - 1)) / sigma for a miss. 0 where
    all choices are worth the same, and in a group of fewer than k (Chen et al. 2025, arXiv:2508.10751).
    """
    count = valid.sum(1, keepdim=True)
    misses = (valid & ~hit).sum(1, keepdim=True)
    fails = _ratio(misses, count, k)
    sigma = (fails * (1 - fails)).sqrt()
    advantage = hit * fails + (valid & ~hit) * (fails - _ratio(misses - 1, count - 1, k - 1))
    defined = valid & (sigma > 0) & (count >= k)
    return (advantage / sigma.masked_fill(sigma == 0, 1.0)).masked_fill(~defined, 0.0).float()


def _ratio(part: Int[Tensor, "B 1"], whole: Int[Tensor, "B 1"], k: int) -> Float[Tensor, "B 1"]:
    """C(part, k) / C(whole, k), 0 where `part` is smaller than k; float64."""
    product = part.new_ones(part.shape).double()
    for taken in range(k):
        product = product * (part - taken).clamp_min(0) / (whole - taken).clamp_min(1)
    return product
