"""The reward of what stands beside a hit (paper Eq. 10)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Judged
from lasar_plugins.reward.standard.config import NdcgConfig


class NdcgReward:
    """In a group that holds the target, the other candidates by their place: the higher, the larger."""

    def __init__(self, config: NdcgConfig, env: Env) -> None:
        self.sign = config.sign
        printed = {
            "the_target_earns_most": "as Eq. 10 is printed, what misses is paid, and the target is not"
        }
        self.contract_exceptions = printed if config.sign == 1 else {}

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """Paper Eq. 10: `sign * w_i / sum(w)` with w_i = 1 / log2(i + 2), i from 0.

        0 for the target, for invalid candidates, and throughout a group without the target. The sum runs
        over all G places, so that what a place is worth does not hang on how many candidates are valid.
        """
        candidates, target = judged.candidates, judged.target
        place = torch.arange(candidates.shape[1], device=candidates.device)
        weight = 1.0 / (place + 2.0).log2()
        hit = candidates == target[:, None]
        others = ~hit & (candidates >= 0) & hit.any(dim=1, keepdim=True)
        return others * (self.sign * weight / weight.sum())
