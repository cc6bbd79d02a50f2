"""A depth policy that always chooses the same (the fixed-N rows of the paper's Figure 4a)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Prompt
from lasar_plugins.depth_policy.fixed.config import DepthFixedConfig


class DepthFixed:
    """`depth` thoughts, always."""

    def __init__(self, config: DepthFixedConfig, env: Env) -> None:
        self.support: tuple[int, ...] = config.support

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R 1"]:
        """Zero, the logit of the only choice."""
        return prompt.h0.new_zeros(*prompt.h0.shape[:-1], 1)
