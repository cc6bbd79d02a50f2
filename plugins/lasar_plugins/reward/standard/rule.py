"""The reward of a hit (paper Eq. 9)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.values import Env
from lasar_plugins.reward.standard.config import RuleConfig


class RuleReward:
    """1 for the target, 0 for all else."""

    def __init__(self, config: RuleConfig, env: Env) -> None:
        pass

    def reward(self, candidates: Int[Tensor, "B G"], target: Int[Tensor, " B"]) -> Float[Tensor, "B G"]:
        """Paper Eq. 9."""
        return (candidates == target[:, None]).float()
