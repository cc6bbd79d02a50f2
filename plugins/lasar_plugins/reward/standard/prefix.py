"""The reward of a near miss: how much of its SID is the target's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Judged
from lasar_kit.errors import UserError
from lasar_plugins.reward.standard.config import PrefixConfig


class PrefixReward:
    """By how many SID levels, from the first one on, a candidate has in common with the target: their share,
    or what `values` says (GREAM's residual-sensitive reward, arXiv:2510.20815)."""

    def __init__(self, config: PrefixConfig, env: Env) -> None:
        if env.table is None:
            raise UserError("reward prefix: needs the semantic IDs of the catalogue (Env.table)")
        self.tokens = env.table.tokens.to(env.device)
        levels = self.tokens.shape[1]
        worth = [level / levels for level in range(levels)]
        if config.values is not None:
            worth = [0.0, *(config.values[min(level, len(config.values)) - 1] for level in range(1, levels))]
        self.worth = torch.tensor([*worth, 1.0], device=env.device)

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """1 for the target, 0 for what parts from it at the first level."""
        candidates, target = judged.candidates, judged.target
        tokens = self.tokens.to(candidates.device)
        same = tokens[candidates.clamp_min(0)] == tokens[target][:, None]
        worth = self.worth.to(candidates.device)[same.cumprod(dim=-1).sum(dim=-1)]
        return worth * (candidates >= 0)
