"""The reward of a hit (paper Eq. 9)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Judged
from lasar_plugins.reward.standard.config import RuleConfig


class RuleReward:
    """1 for the target, 0 for all else."""

    def __init__(self, config: RuleConfig, env: Env) -> None:
        pass

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """Paper Eq. 9."""
        return (judged.candidates == judged.target[:, None]).float()
