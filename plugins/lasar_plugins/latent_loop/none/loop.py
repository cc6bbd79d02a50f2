"""A latent loop of no thoughts."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_plugins.latent_loop.none.config import NoLoopConfig


class NoLoop:
    """The answer is predicted from the prompt's last state and hangs on its last token."""

    transparent = True

    def __init__(self, config: NoLoopConfig, env: Env) -> None:
        pass

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """The prompt as it is; T = 0, whatever `depth` and `steps` say."""
        rows, branches, width = prompt.h0.shape
        states = prompt.h0.new_zeros(rows, branches, 0, width)
        mask = torch.zeros(rows, branches, 0, dtype=torch.bool, device=prompt.h0.device)
        return LatentTrace(states, mask, last=prompt.h0, tip=prompt.tip, context=prompt.context)
