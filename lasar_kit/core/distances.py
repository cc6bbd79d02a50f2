"""How far apart two vectors are, for alignment (paper Eq. 4 and the alternatives of Table 2).

Each takes pairs [*S, D], computes in float32 at least, and gives [*S], never negative; all but `ce` are
symmetric, and exactly zero for a vector and itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def bikl(a: Float[Tensor, "*S D"], b: Float[Tensor, "*S D"], temperature: float = 1.0) -> Float[Tensor, "*S"]:
    """Bidirectional KL divergence, in nats, of softmax(a / temperature) and softmax(b / temperature) (Eq. 4).

    The mean of both directions is half the sum of (p - q)(log p - log q).
    """
    log_p, log_q = (_wide(x).div(temperature).log_softmax(-1) for x in (a, b))
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def cosine(a: Float[Tensor, "*S D"], b: Float[Tensor, "*S D"]) -> Float[Tensor, "*S"]:
    """1 - cos(a, b), as half the squared distance of the unit vectors: rounding cannot turn it negative."""
    return 0.5 * (normalize(_wide(a), dim=-1) - normalize(_wide(b), dim=-1)).square().sum(-1)


def mse(a: Float[Tensor, "*S D"], b: Float[Tensor, "*S D"]) -> Float[Tensor, "*S"]:
    """Mean squared difference of the coordinates."""
    return (_wide(a) - _wide(b)).square().mean(-1)


def l1(a: Float[Tensor, "*S D"], b: Float[Tensor, "*S D"]) -> Float[Tensor, "*S"]:
    """Mean absolute difference of the coordinates (as CODI, Shen et al. 2025, arXiv:2502.21074)."""
    return (_wide(a) - _wide(b)).abs().mean(-1)


def ce(a: Float[Tensor, "*S V"], b: Float[Tensor, "*S V"]) -> Float[Tensor, "*S"]:
    """Cross-entropy, in nats, of softmax(a) with the one coordinate that is largest in b."""
    return -_wide(a).log_softmax(-1).gather(-1, b.argmax(-1, keepdim=True))[..., 0]
