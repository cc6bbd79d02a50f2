"""Masked attention that reads each key and value head once for all the query heads that share it.

transformers copies keys and values for every query head as soon as there is a mask, because CUDA's fused
kernels take as many heads of both. The copies are most of what a token-tree step adds. The CPU kernel does
without; for the others, and where tokens are few, the queries of the heads that share keys stand behind one
another as those of one.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED_SDPA = "grouped_sdpa"

FEW = 16
"""Fewer tokens than this read keys once for all the heads that share them on CPUs as well. Behind a context
of 130 tokens, two take 170 µs a layer, and 210 by heads; from sixteen on there is no difference."""


def grouped_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """`sdpa` of transformers, but for masked attention without anything else to it."""
    more = any(options.get(name) is not None for name in ("softcap", "position_bias", "s_aux"))
    if attention_mask is None or attention_mask.shape[1] != 1 or more:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    shape, as_it_is = query.shape, query.device.type == "cpu" and query.shape[2] >= FEW
    if not as_it_is:
        query, attention_mask = folded(query, attention_mask, key.shape[1])
    output = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=as_it_is
    ).reshape(shape)  # kernels for accelerators lay their output out otherwise
    return output.transpose(1, 2).contiguous(), None


def folded(
    query: Shaped[Tensor, "B heads Q d"], mask: Shaped[Tensor, "B 1 Q nodes"], heads: int
) -> tuple[Shaped[Tensor, "B shared rows d"], Shaped[Tensor, "B 1 rows nodes"]]:
    """Queries of heads that share keys as more queries of as many `heads` as there are of keys."""
    rows, all_heads, count, width = query.shape
    times = all_heads // heads
    if count > 1 and times > 1:
        mask = mask.repeat(1, 1, times, 1)
    return query.reshape(rows, heads, times * count, width), mask


AttentionInterface.register(GROUPED_SDPA, grouped_sdpa)
AttentionMaskInterface.register(GROUPED_SDPA, sdpa_mask)
