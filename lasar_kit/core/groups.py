"""Numbers over the candidates of a prompt, of which some may be missing.

B groups, G candidates a group. What stands at a masked place is never read: it may be infinite or NaN,
and no gradient reaches it.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(values: Float[Tensor, "*S n"], mask: Bool[Tensor, "*S n"]) -> Float[Tensor, "*S"]:
    """Mean over the last dimension of the values where `mask` is true; 0 where none is."""
    return values.masked_fill(~mask, 0.0).sum(dim=-1) / mask.sum(dim=-1).clamp_min(1)


def varied(values: Float[Tensor, "B G"], mask: Bool[Tensor, "B G"]) -> Bool[Tensor, " B"]:
    """Whether any two values of a group differ.

    By comparison, since the standard deviation of equal numbers may round to something above 0.
    """
    low = values.masked_fill(~mask, float("inf")).amin(dim=-1)
    high = values.masked_fill(~mask, float("-inf")).amax(dim=-1)
    return high > low


def centred(values: Float[Tensor, "B G"], mask: Bool[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """`value - mean` in each group; 0 at masked places and where no two values differ."""
    defined = mask & varied(values, mask)[:, None]
    return (values - masked_mean(values, mask)[:, None]).masked_fill(~defined, 0.0)


def z_scores(
    values: Float[Tensor, "B G"], mask: Bool[Tensor, "B G"], ddof: int, epsilon: float
) -> Float[Tensor, "B G"]:
    """`(value - mean) / (std + epsilon)` in each group; 0 at masked places and where no two values differ.

    `ddof` is taken off the number of values under the square root of `std`: 0 population, 1 sample.
    """
    apart = centred(values, mask)
    freedom = (mask.sum(dim=-1, keepdim=True) - ddof).clamp_min(1)
    spread = (apart.square().sum(dim=-1, keepdim=True) / freedom).sqrt() + epsilon
    # Without an epsilon, 0 / 0 where nothing differs.
    return (apart / spread).masked_fill(apart == 0, 0.0)
