"""The policy head (paper section 2.2): W2 tanh(W1 h0 + b1) + b2."""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lasar_kit.core.values import Env, Prompt
from lasar_plugins.depth_policy.mlp.config import DepthMlpConfig

OUTPUT_STD = 0.02
"""Of the initial output weights: small, so that all depths start about equally likely."""


class DepthMlp(nn.Module):
    """A softmax over depths 1..n_max (0..n_max with `allow_zero`); as wide inside as the backbone.

    Initialised by `env.seed` alone.
    """

    def __init__(self, config: DepthMlpConfig, env: Env) -> None:
        super().__init__()
        self.config = config
        self.support: tuple[int, ...] = config.support
        width = env.hidden_size
        self.hidden: nn.Linear = skip_init(nn.Linear, width, width)
        self.output: nn.Linear = skip_init(nn.Linear, width, len(self.support))
        # Salted: with the bare seed, W1 would be a multiple of the first weights that a backbone draws.
        generator = torch.Generator().manual_seed(zlib.crc32(f"depth_mlp {env.seed}".encode()))
        for layer, std in ((self.hidden, width**-0.5), (self.output, OUTPUT_STD)):
            nn.init.normal_(layer.weight, std=std, generator=generator)
            nn.init.zeros_(layer.bias)

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R C"]:
        """Unnormalised log-probabilities over `support`, in float32 at least."""
        h0 = prompt.h0.detach() if self.config.detach_h0 else prompt.h0
        inner = torch.tanh(self.hidden(h0.to(self.hidden.weight.dtype)))
        logits: Tensor = self.output(inner)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))
