"""Masked attention that reads each key and value head once for all the query heads that share it.

transformers copies keys and values for every query head as soon as there is a mask, because CUDA's fused
kernels ask for that; the CPU kernel does not, and the copies are most of what a token-tree step adds.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED_SDPA = "grouped_sdpa"


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
    """`sdpa` of transformers, but for masked attention on the CPU without anything else to it."""
    more = any(options.get(name) is not None for name in ("softcap", "position_bias", "s_aux"))
    if attention_mask is None or query.device.type != "cpu" or more:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    shape = query.shape
    if shape[2] == 1:  # heads that share keys are then as good as queries of one head
        query = query.reshape(shape[0], key.shape[1], -1, shape[3])
    output = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
    ).view(shape)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED_SDPA, grouped_sdpa)
AttentionMaskInterface.register(GROUPED_SDPA, sdpa_mask)
