"""Heads that share keys, folded into one, attend as they do apart."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from lasar_plugins.backbone.hf_causal.attention import folded


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("heads", [6, 3, 1])
def test_folded_queries_attend_as_those_of_copied_keys(count: int, heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 6, count, 4, generator=generator).transpose(1, 2).contiguous().transpose(1, 2)
    key, value = torch.randn(2, 2, heads, 7, 4, generator=generator)
    seen = torch.rand(2, 1, count, 7, generator=generator) < 0.7
    seen[..., 0] = True
    mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    copied = [part.repeat_interleave(6 // heads, dim=1) for part in (key, value)]
    expected = scaled_dot_product_attention(query, *copied, attn_mask=mask)
    other, wider = folded(query, mask, heads)
    found = scaled_dot_product_attention(other, key, value, attn_mask=wider)
    assert other.shape[1] == heads
    torch.testing.assert_close(found.view(query.shape), expected)
