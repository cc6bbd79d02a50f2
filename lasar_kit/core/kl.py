"""KL divergence of a policy from its reference, exact or estimated from the tokens that were drawn."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

LARGEST_LOG_RATIO = 20.0
"""Log-ratios are clamped here before they are exponentiated, so that a mismatch cannot overflow."""


def k3(logp: Float[Tensor, "*S"], ref_logp: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """`q/p - log(q/p) - 1` of tokens with probability p under the policy and q under its reference.

    Never negative; over tokens drawn from the policy its mean is KL(policy || reference).
    J. Schulman, Approximating KL divergence, 2020.
    """
    log_ratio = (ref_logp - logp).clamp(max=LARGEST_LOG_RATIO)
    return log_ratio.expm1() - log_ratio


def exact_kl(logp: Float[Tensor, "*S C"], ref_logp: Float[Tensor, "*S C"]) -> Float[Tensor, "*S"]:
    """KL(policy || reference) of normalised log-probabilities of C choices.

    A choice that the policy forbids, -inf, adds nothing; one that the reference alone forbids makes it inf.
    """
    forbidden = logp.isneginf()
    logp, ref_logp = logp.masked_fill(forbidden, 0.0), ref_logp.masked_fill(forbidden, 0.0)
    return (logp.exp() * (logp - ref_logp)).sum(dim=-1)
