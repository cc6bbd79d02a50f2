"""Which architectures are let in, and what a token tree must know of one: windows, positions, logits.

`admit` refuses by what a configuration says. What it cannot say is found out by reading (`exactness`), once a
load, for an architecture that is not among those tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from lasar_kit.errors import UserError

TESTED = (
    "cohere",
    "cohere2",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "granite",
    "llama",
    "ministral",
    "mistral",
    "olmo2",
    "olmo3",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "stablelm",
    "starcoder2",
)
"""Architectures (`model_type`) that the tests hold to plain forwards; windows are let in with these alone."""

WINDOWS = ("window_size", "attention_window_size", "keep_window_size", "attention_chunk_size", "index_topk")
"""Options of architectures not tested that leave tokens out of what another sees, by their own names."""

FULL, SLIDING = "full_attention", "sliding_attention"
"""Names in transformers of layers that attend to all before a token, and to a window."""


@dataclass(frozen=True)
class Architecture:
    """Facts that reading and answering depend on, beyond what transformers' forward does by itself.

    `window`: tokens that a windowed layer sees, the reading one included; None where none has a window.
    `mixed`: whether layers differ in it, so that each kind is given a mask of its own.
    `longest`: positions of the longest path, None without bound.
    Logits are multiplied by `scale`, then bounded to `cap` by cap * tanh(x / cap).
    `capped`: whether attention scores are bounded so too, which sdpa cannot do.
    """

    name: str
    window: int | None = None
    mixed: bool = False
    longest: int | None = None
    scale: float | None = None
    cap: float | None = None
    capped: bool = False

    def logits(self, products: Float[Tensor, "*S V"]) -> Float[Tensor, "*S V"]:
        """Logits, of the products of states with output embeddings."""
        if self.scale is not None:
            products = products * self.scale
        if self.cap is not None:
            products = torch.tanh(products / self.cap) * self.cap
        return products


def admit(config: Any, place: str, only: Sequence[str] | None = None) -> Architecture:
    """The architecture of a configuration; `UserError`, begun with `place`, where it is not let in."""
    name = config.model_type
    if only is not None and name not in only:
        raise UserError(f"{place} must be a {' or '.join(only)} model (got {name!r})")
    parts = sorted(getattr(config, "sub_configs", None) or {})
    if parts or config.get_text_config() is not config:
        raise UserError(f"{place} must be a language model alone ({name!r} is made of {', '.join(parts)})")
    if name not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{place} must be a decoder-only language model (got {name!r})")
    if getattr(config, "use_bidirectional_attention", False) or getattr(config, "is_causal", True) is False:
        raise UserError(f"{place} must be causal: this {name!r} lets tokens see what comes after them")
    return Architecture(
        name=name,
        longest=_longest(config),
        scale=_scale(config),
        cap=getattr(config, "final_logit_softcapping", None),
        capped=bool(getattr(config, "attn_logit_softcapping", None)),
        **_windows(config, place),
    )


def _windows(config: Any, place: str) -> dict[str, Any]:
    """`window` and `mixed`; `UserError` for layers that neither attend to all nor to a window."""
    kinds = getattr(config, "layer_types", None)
    if others := sorted({*(kinds or ())} - {FULL, SLIDING}):
        raise UserError(
            f"{place} must attend to all tokens or to a window of them in every layer (layer_types: {FULL}, "
            f"{SLIDING}; got {', '.join(others)})"
        )
    window = getattr(config, "sliding_window", None)
    longest = getattr(config, "max_position_embeddings", None)
    if (kinds is not None and SLIDING not in kinds) or (window and longest and window >= longest):
        window = None
    if config.model_type in TESTED:
        return {"window": window, "mixed": kinds is not None} if window else {}
    # Too few tokens are read to find these out.
    odd = (getattr(config, name, None) for name in WINDOWS)
    if width := window or next(filter(None, odd), None):
        raise UserError(
            f"{place} attends to {width} tokens alone in some layers, which is read right for these models: "
            f"{', '.join(TESTED)} (got {config.model_type!r})"
        )
    return {}


def _longest(config: Any) -> int | None:
    """The positions a model has; of LongRoPE those before its frequencies change, under what is cached."""
    longest: int | None = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or {}
    for part in (rope, *(inner for inner in rope.values() if isinstance(inner, dict))):
        if part.get("rope_type") == "longrope":
            before: int | None = part.get("original_max_position_embeddings")
            longest = min(filter(None, (before, longest)), default=None)
    return longest


def _scale(config: Any) -> float | None:
    """Return the factor of logits: Cohere's `logit_scale`, Granite's `logits_scaling` (a divisor)."""
    scale: float | None = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return 1 / divisor if scale is None and divisor else scale
