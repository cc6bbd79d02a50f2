"""REINFORCE on written reasoning: a text that candidates share earns their mean reward, one of its own the
candidate's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.groups import masked_mean
from lasar_kit.core.values import Env, Rollout
from written_cot.config import WrittenConfig


class Written:
    """The mean over prompts of the mean over their text's tokens; one without a text adds 0.

    Token w's term is min(ratio A, clip(ratio) A), A being how much more the prompt's candidates earned than
    those of the whole batch.
    """

    exact_kl = False
    reads_answers = False

    def __init__(self, config: WrittenConfig, env: Env) -> None:
        self.clip = config.clip

    def loss(self, rollout: Rollout) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Minus the gain."""
        if rollout.written is None or rollout.written_logp is None:
            return rollout.rewards.new_zeros(()), {}
        rewards, valid = rollout.rewards.detach(), rollout.valid
        if rollout.written.shape[1] == 1:
            rewards, valid = masked_mean(rewards, valid)[:, None], torch.ones_like(valid[:, :1])
        mask, logp = rollout.written & valid[..., None], rollout.written_logp.float()
        old = logp if rollout.old_written_logp is None else rollout.old_written_logp.float()
        ratio = (logp - old.detach()).masked_fill(~mask, 0.0).exp()
        advantage = (rewards - rollout.world_reward.detach())[..., None]
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        gain = torch.minimum(ratio * advantage, clipped * advantage)
        told = {
            "written": float(mask.sum(-1).float().mean()),
            "written_logp": float(masked_mean(logp.detach().flatten(), mask.flatten())),
        }
        return -masked_mean(masked_mean(gain, mask), valid).mean(), told

    def observe(self, rollout: Rollout) -> None:
        """Nothing to remember."""
