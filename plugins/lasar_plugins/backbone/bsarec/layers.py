"""One block of BSARec (Shin et al. 2024, arXiv:2312.10325, section 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lasar_plugins.backbone.bsarec.config import BsaRecConfig

EPS = 1e-12


def low_pass(window: int, kept: int) -> Float[Tensor, "W W"]:
    """The map of a sequence of W places to its `kept` lowest frequencies alone (Eq. 6).

    Transform, cut and back are one linear map over places, whatever stands in them.
    """
    spectrum = torch.fft.rfft(torch.eye(window, dtype=torch.float64), dim=0)
    spectrum[kept:] = 0
    low: Tensor = torch.fft.irfft(spectrum, n=window, dim=0).float()
    return low


class Filter(nn.Module):
    """Low frequencies as they are, all others scaled channel by channel (Eqs. 6 to 8)."""

    low: Float[Tensor, "W W"]

    def __init__(self, config: BsaRecConfig) -> None:
        super().__init__()
        self.sqrt_beta = nn.Parameter(torch.empty(config.hidden_size))
        self.norm = nn.LayerNorm(config.hidden_size, eps=EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("low", low_pass(config.window, config.c // 2 + 1), persistent=False)

    def forward(self, x: Float[Tensor, "N W D"]) -> Float[Tensor, "N W D"]:
        """The filtered sequence, behind its residual and norm."""
        low = self.low.to(x.dtype) @ x
        scaled: Tensor = self.norm(x + self.dropout(low + self.sqrt_beta**2 * (x - low)))
        return scaled


class Block(nn.Module):
    """Filter and attention side by side (Eq. 9), then an MLP; each with a residual and a norm behind it."""

    def __init__(self, config: BsaRecConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size or 4 * config.hidden_size
        self.heads, self.alpha, self.p = config.heads, config.alpha, config.dropout
        self.filter = Filter(config)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.act, self.dropout = nn.GELU(), nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "N W D"], mask: Float[Tensor, "N 1 W W"]) -> Float[Tensor, "N W D"]:
        """States of all places of the windows; `mask` is added to attention's scores."""
        attended = self.attention_norm(x + self.dropout(self._attend(x, mask)))
        x = self.alpha * self.filter(x) + (1 - self.alpha) * attended
        states: Tensor = self.mlp_norm(x + self.dropout(self.down(self.act(self.up(x)))))
        return states

    def _attend(self, x: Float[Tensor, "N W D"], mask: Float[Tensor, "N 1 W W"]) -> Float[Tensor, "N W D"]:
        rows, places, width = x.shape
        split = self.qkv(x).view(rows, places, 3, self.heads, width // self.heads)
        query, key, value = (part.transpose(1, 2) for part in split.unbind(2))
        p = self.p if self.training else 0.0
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask.to(query.dtype), dropout_p=p)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(rows, places, width))
        return out
