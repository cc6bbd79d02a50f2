"""REINFORCE on the depth policy (paper Eq. 6)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lasar_kit.core.groups import masked_mean
from lasar_kit.core.numbers import read
from lasar_kit.core.values import Env, Rollout
from lasar_plugins.rl_objective.reinforce.config import ReinforceConfig


class Reinforce(nn.Module):
    """Makes depths likelier that earned more than the baseline and their own cost.

    Those are the policy's choices, or, of a loop that halts by itself, where it stopped.

    The baseline is a moving average of `Rollout.world_reward`, so it is the same on all ranks; it starts at
    the first one, which that rollout is itself measured against. It is saved with the module's state.
    """

    exact_kl = False
    reads_answers = False
    baseline: Float[Tensor, ""]
    started: Bool[Tensor, ""]

    def __init__(self, config: ReinforceConfig, env: Env) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("baseline", torch.zeros((), device=env.device))
        self.register_buffer("started", torch.tensor(False, device=env.device))

    def loss(self, rollout: Rollout) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Paper Eq. 6, the mean over prompts; R_group is the mean reward of a prompt's valid candidates."""
        reward = masked_mean(rollout.rewards.detach(), rollout.valid)
        baseline = self._baseline(rollout)
        advantage = reward - baseline - self.config.step_penalty * rollout.depth
        logp = rollout.depth_logp.float()
        chosen = _chosen(rollout.depth_logp, rollout) if rollout.halt_logp is None else rollout.halt_logp
        entropy = -(logp.exp() * logp).sum(dim=1).mean()
        loss = -(advantage * self._weight(rollout, chosen, advantage) * chosen).mean()
        loss = loss - self.config.entropy * entropy
        report = {
            "depth": rollout.depth.float().mean(),
            "depth_entropy": entropy,
            "depth_advantage": advantage.mean(),
            "baseline": baseline,
        }
        return loss, read(report)

    @torch.no_grad()
    def _weight(
        self, rollout: Rollout, chosen: Float[Tensor, " B"], advantage: Float[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """How much likelier each depth is now than when it was drawn, so that the gradient stays that of the
        policy as it is; 0 where it has gone far enough already (the clipped objective of PPO)."""
        if rollout.halt_logp is not None:
            old = rollout.old_halt_logp
        else:
            old = None if rollout.old_depth_logp is None else _chosen(rollout.old_depth_logp, rollout)
        if old is None:
            return torch.ones_like(chosen)
        ratio = (chosen - old).exp()
        far = torch.where(advantage > 0, ratio > 1 + self.config.clip, ratio < 1 - self.config.clip)
        return ratio.masked_fill(far, 0.0)

    @torch.no_grad()
    def observe(self, rollout: Rollout) -> None:
        """Move the baseline towards the rollout's mean reward."""
        kept = self.config.momentum * self._baseline(rollout)
        self.baseline.copy_(kept + (1 - self.config.momentum) * rollout.world_reward)
        self.started.fill_(True)

    def _baseline(self, rollout: Rollout) -> Float[Tensor, ""]:
        """The moving average before this rollout; of the first rollout its own mean."""
        return torch.where(self.started, self.baseline, rollout.world_reward.detach())


def _chosen(logp: Float[Tensor, "B C"], rollout: Rollout) -> Float[Tensor, " B"]:
    """The log-probability of the depth that was taken."""
    return logp.float().gather(1, rollout.depth_index[:, None])[:, 0]
