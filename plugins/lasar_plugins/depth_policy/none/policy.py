"""A depth policy with nothing to choose."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env, Prompt
from lasar_plugins.depth_policy.none.config import NoDepthConfig


class NoDepth:
    """Zero thoughts, always."""

    def __init__(self, config: NoDepthConfig, env: Env) -> None:
        self.support = config.support

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R 1"]:
        """Zero, the logit of the only choice."""
        return prompt.h0.new_zeros(*prompt.h0.shape[:-1], 1)
