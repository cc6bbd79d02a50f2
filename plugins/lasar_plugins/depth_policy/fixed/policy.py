"""A depth policy that always chooses the same (the fixed-N rows of the paper's Figure 4a)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Prompt
from lasar_plugins.depth_policy.fixed.config import DepthFixedConfig

NEVER = -60.0
"""Log-odds of a depth that is not chosen: no draw of 53 bits finds it."""


class DepthFixed:
    """`depth` thoughts, always; others can be forced."""

    def __init__(self, config: DepthFixedConfig, env: Env) -> None:
        self.support: tuple[int, ...] = config.support
        self.place = self.support.index(config.depth)

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R C"]:
        """Zero, the logit of the only choice, far above others."""
        logits = torch.full((len(self.support),), NEVER, device=prompt.h0.device, dtype=prompt.h0.dtype)
        logits[self.place].zero_()  # a number assigned would be copied to a GPU, which waits for it
        return logits.expand(*prompt.h0.shape[:-1], -1)
