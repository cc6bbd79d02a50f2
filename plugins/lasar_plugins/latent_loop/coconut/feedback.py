"""A learned way for a state to become an input: states are many times as long as embeddings."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

EPSILON = 1e-6
"""Added to a mean square under a root."""


class Projection(nn.Module):
    """A linear map and an RMS norm, both learned.

    It starts as a mere rescaling to length 1, about that of a trained embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear: nn.Linear = skip_init(nn.Linear, width, width, bias=False)
        self.norm = nn.RMSNorm(width, eps=EPSILON)
        nn.init.eye_(self.linear.weight)
        nn.init.constant_(self.norm.weight, width**-0.5)

    def forward(self, h: Float[Tensor, "*S D"]) -> Float[Tensor, "*S D"]:
        """Inputs in the type of the states, whatever that of the weights."""
        projected: Tensor = self.norm(self.linear(h.to(self.linear.weight.dtype)))
        return projected.to(h.dtype)
