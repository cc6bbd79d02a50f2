"""A candidate's tokens: those of its SID, behind those of its own text where it has one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.groups import masked_mean
from lasar_kit.core.values import Rollout


@dataclass(frozen=True)
class Tokens:
    """Log-probabilities of t tokens a candidate, float32, under the policy, the old one and the reference.

    All are 0 where nothing counts: at tokens of candidates that are not valid, and behind the end of a text.
    `mask` marks what counts; None without texts, whose ends alone differ.
    """

    logp: Float[Tensor, "B G t"]
    old: Float[Tensor, "B G t"]
    ref: Float[Tensor, "B G t"]
    mask: Bool[Tensor, "B G t"] | None

    @classmethod
    def of(cls, rollout: Rollout) -> Tokens:
        """W + M tokens where each of a group's candidates has its own text, M otherwise."""
        valid, written = rollout.valid, rollout.written
        sids = [readable(values, valid) for values in (rollout.logp, rollout.old_logp, rollout.ref_logp)]
        if written is None or not 1 < written.shape[1] == valid.shape[1]:
            logp, old, ref = sids
            return cls(logp, old, ref, None)
        assert rollout.written_logp is not None
        assert rollout.ref_written_logp is not None, "the reference reads what was written"
        old = rollout.written_logp.detach() if rollout.old_written_logp is None else rollout.old_written_logp
        words = [
            values.float().masked_fill(~(written & valid[..., None]), 0.0)
            for values in (rollout.written_logp, old, rollout.ref_written_logp)
        ]
        logp, old, ref = (torch.cat(pair, dim=-1) for pair in zip(words, sids, strict=True))
        mask = torch.cat([written, torch.ones_like(rollout.logp, dtype=torch.bool)], dim=-1)
        return cls(logp, old, ref, mask)

    def mean(self, values: Float[Tensor, "B G m"]) -> Float[Tensor, "B G"]:
        """Over a candidate's tokens; of a single number a candidate, that number."""
        if self.mask is None or values.shape[-1] != self.mask.shape[-1]:
            return values.mean(dim=-1)
        return masked_mean(values, self.mask)


def readable(tokens: Float[Tensor, "B G M"], valid: Bool[Tensor, "B G"]) -> Float[Tensor, "B G M"]:
    """Float32, with 0 for tokens of invalid candidates, so that no arithmetic meets their -inf or NaN."""
    return tokens.float().masked_fill(~valid[..., None], 0.0)
