"""REINFORCE on written reasoning: a prompt's candidates share one text, which earns their mean reward."""

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
        mask, logp = rollout.written, rollout.written_logp.float()
        old = logp if rollout.old_written_logp is None else rollout.old_written_logp.float()
        ratio = (logp - old.detach()).masked_fill(~mask, 0.0).exp()
        advantage = masked_mean(rollout.rewards.detach(), rollout.valid) - rollout.world_reward.detach()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        gain = torch.minimum(ratio * advantage[:, None], clipped * advantage[:, None])
        told = {
            "written": float(mask.sum(-1).float().mean()),
            "written_logp": float(masked_mean(logp.detach().flatten(), mask.flatten())),
        }
        return -masked_mean(gain, mask).mean(), told

    def observe(self, rollout: Rollout) -> None:
        """Nothing to remember."""
