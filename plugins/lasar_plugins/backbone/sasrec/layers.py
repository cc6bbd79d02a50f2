"""One layer of SASRec, over keys and values that only ever grow."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lasar_plugins.backbone.sasrec.config import SasRecConfig

KeysValues = tuple[Float[Tensor, "B heads P d"], Float[Tensor, "B heads P d"]]


class Layer(nn.Module):
    """Self-attention and an MLP, each with a residual and a layer norm."""

    def __init__(self, config: SasRecConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size or 4 * config.hidden_size
        self.heads, self.before, self.p = config.heads, config.norm == "pre", config.dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.act: nn.Module = nn.GELU() if config.activation == "gelu" else nn.ReLU()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B Q D"],
        seen: Bool[Tensor, "B 1 Q nodes"] | None,
        past: KeysValues | None,
    ) -> tuple[Float[Tensor, "B Q D"], KeysValues]:
        """States of Q more tokens, and keys and values with theirs; without `seen` they are a chain."""
        mixed, grown = self._attend(self.attention_norm(x) if self.before else x, seen, past)
        x = x + self.dropout(mixed)
        x = x if self.before else self.attention_norm(x)
        inner = self.mlp_norm(x) if self.before else x
        x = x + self.dropout(self.down(self.act(self.up(inner))))
        return x if self.before else self.mlp_norm(x), grown

    def _attend(
        self,
        x: Float[Tensor, "B Q D"],
        seen: Bool[Tensor, "B 1 Q nodes"] | None,
        past: KeysValues | None,
    ) -> tuple[Float[Tensor, "B Q D"], KeysValues]:
        rows, new, width = x.shape
        split = self.qkv(x).view(rows, new, 3, self.heads, width // self.heads)
        query, key, value = (part.transpose(1, 2) for part in split.unbind(2))
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        mixed = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=seen,
            dropout_p=self.p if self.training else 0.0,
            is_causal=seen is None,
        )
        return self.out(mixed.transpose(1, 2).reshape(rows, new, width)), (key, value)
