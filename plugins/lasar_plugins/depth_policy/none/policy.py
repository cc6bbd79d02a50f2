"""A depth policy with nothing to choose."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.values import Env
from lasar_plugins.depth_policy.none.config import NoDepthConfig


class NoDepth:
    """Zero thoughts, always."""

    support: tuple[int, ...] = NoDepthConfig.support

    def __init__(self, config: NoDepthConfig, env: Env) -> None:
        pass

    def logits(self, h0: Float[Tensor, "B R D"]) -> Float[Tensor, "B R 1"]:
        """Zero, the logit of the only choice."""
        return h0.new_zeros(*h0.shape[:-1], 1)
