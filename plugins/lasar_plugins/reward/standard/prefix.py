"""The reward of a near miss: how much of its SID is the target's."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Judged
from lasar_kit.errors import UserError
from lasar_plugins.reward.standard.config import PrefixConfig


class PrefixReward:
    """The share of SID levels, from the first one on, that a candidate has in common with the target."""

    def __init__(self, config: PrefixConfig, env: Env) -> None:
        if env.table is None:
            raise UserError("reward prefix: needs the semantic IDs of the catalogue (Env.table)")
        self.tokens = env.table.tokens.to(env.device)

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """1 for the target, 0 for what parts from it at the first level."""
        candidates, target = judged.candidates, judged.target
        tokens = self.tokens.to(candidates.device)
        same = tokens[candidates.clamp_min(0)] == tokens[target][:, None]
        return same.cumprod(dim=-1).float().mean(dim=-1) * (candidates >= 0)
