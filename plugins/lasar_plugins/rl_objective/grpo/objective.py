"""The clipped objective over groups of candidates (paper Eq. 5).

Shape letters as in `lasar_kit.core.values`; t counts a candidate's tokens (`Tokens`), and m is t for ratios
by token and 1 for ratios by sequence.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.groups import centred, masked_mean, varied, z_scores
from lasar_kit.core.kl import LARGEST_LOG_RATIO, k3
from lasar_kit.core.numbers import read
from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.grpo.config import GrpoConfig
from lasar_plugins.rl_objective.grpo.tokens import Tokens, readable


class Grpo:
    """Raises the candidates that did better than their group, lowers the others, and stays near a reference.

    A candidate's loss is a mean over its tokens, a group's over its valid candidates, and the loss one over
    the groups of this rank that have a candidate, those that are skipped among them unless `mean_over` says
    otherwise. As SIDs are equally long, a mean over all tokens of a group would be the same.

    Where each candidate has a text of its own, its words are the candidate's tokens as those of its SID are.
    A text that a group shares is left as it is: the advantages of its candidates add up to 0.
    """

    reads_answers = True

    def __init__(self, config: GrpoConfig, env: Env) -> None:
        self.config = config
        self.reads_reference = config.compares_reference
        self.exact_kl = config.kl == "exact" and self.reads_reference
        printed = {"old_policy_is_used": "it divides by the reference, as Eq. 5 is printed"}
        self.contract_exceptions = printed if config.ratio == "ref" else {}

    def loss(self, rollout: Rollout) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Paper Eq. 5. The report covers all valid candidates, those of skipped groups among them."""
        valid, differs = rollout.valid, varied(rollout.rewards, rollout.valid)
        advantage = self._advantage(rollout.rewards.detach(), valid)
        tokens = Tokens.of(rollout)
        ratio = self._ratio(tokens)
        clipped = ratio.clamp(1 - self.config.clip, 1 + (self.config.clip_high or self.config.clip))
        gain = torch.minimum(ratio * advantage[..., None], clipped * advantage[..., None])
        kl = {"kl": self._kl(tokens, rollout)} if self.reads_reference else {}
        cost = self.config.beta * kl["kl"] if self.config.beta else 0.0
        groups = masked_mean(cost - tokens.mean(gain), valid)
        if self.config.constant_groups == "skip":
            groups = groups.masked_fill(~differs, 0.0)
        held = (clipped - ratio) * advantage[..., None] < 0
        report = {
            **_means(valid, ratio=tokens.mean(ratio), clipped=tokens.mean(held.float()), **kl),
            **_spread(advantage, valid),
            "zero_variance": (~differs).float().mean(),
        }
        return masked_mean(groups, self._counted(rollout.rewards, valid)), read(report)

    def counted(self, rewards: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> int:
        """How many groups the loss is a mean over."""
        return int(self._counted(rewards, valid).sum())

    def observe(self, rollout: Rollout) -> None:
        """Nothing to remember."""

    def _counted(self, rewards: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> Bool[Tensor, " B"]:
        """Over which groups the loss is a mean."""
        left_out = self.config.constant_groups == "skip" and self.config.mean_over == "varied"
        return varied(rewards, valid) if left_out else valid.any(dim=1)

    def _advantage(self, rewards: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> Float[Tensor, "B G"]:
        """How much better a candidate did than its group; of mean 0 in each group."""
        if self.config.scale == "none":
            return centred(rewards, valid)
        return z_scores(rewards, valid, self.config.std_ddof, self.config.epsilon)

    def _ratio(self, tokens: Tokens) -> Float[Tensor, "B G m"]:
        """The policy's probability of each token, or candidate, over what it is compared with."""
        base = tokens.old if self.config.ratio == "old" else tokens.ref
        log_ratio = tokens.logp - base.detach()
        if self.config.level == "sequence":
            log_ratio = log_ratio.sum(dim=-1, keepdim=True)
        return log_ratio.clamp(max=LARGEST_LOG_RATIO).exp()

    def _kl(self, tokens: Tokens, rollout: Rollout) -> Float[Tensor, "B G"]:
        """KL of each candidate from the reference; by the chain rule a sequence's is the sum over tokens.
        That of words is always estimated."""
        each = k3(tokens.logp, tokens.ref.detach())
        if self.exact_kl:
            assert rollout.ref_kl is not None, "exact_kl asks for Rollout.ref_kl"
            exact = readable(rollout.ref_kl, rollout.valid)
            each = torch.cat([each[..., : -exact.shape[-1]], exact], dim=-1)
        return each.sum(dim=-1) if self.config.level == "sequence" else tokens.mean(each)


def _means(valid: Bool[Tensor, "B G"], **values: Float[Tensor, "B G"]) -> dict[str, Float[Tensor, ""]]:
    """Means over valid candidates."""
    everyone = valid.flatten()
    return {name: masked_mean(value.flatten(), everyone) for name, value in values.items()}


def _spread(advantage: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> dict[str, Float[Tensor, ""]]:
    """Root mean square and extremes of the advantages; their mean is 0 in every group."""
    return {
        "advantage_rms": masked_mean(advantage.square().flatten(), valid.flatten()).sqrt(),
        "advantage_min": advantage.min(),
        "advantage_max": advantage.max(),
    }
