"""Log-probabilities of SID tokens, over the whole vocabulary or over the tokens that the catalogue allows."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

Score = Literal["vocabulary", "trie"]
"""The tokens that one competes with: `vocabulary` normalises over all V, so that what the catalogue forbids
keeps its share (the ranking of MiniOneRec); `trie` normalises over the allowed tokens alone."""


def candidate_logp(
    logits: Float[Tensor, "*S V"],
    picked: Shaped[Tensor, "*S C"],
    allowed: Bool[Tensor, "*S C"],
    score: Score,
) -> Float[Tensor, "*S C"]:
    """Log-probabilities, in float32, of C candidate tokens a place; -inf where one is not allowed.

    `picked` are the candidates' logits. A place where nothing is allowed gives -inf throughout, and gradients
    stay finite.
    """
    picked = picked.float().masked_fill(~allowed, torch.finfo(torch.float32).min)
    rivals = logits.float() if score == "vocabulary" else picked
    return (picked - rivals.logsumexp(dim=-1, keepdim=True)).masked_fill(~allowed, -torch.inf)
