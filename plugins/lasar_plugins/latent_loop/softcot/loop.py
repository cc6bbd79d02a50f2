"""Soft thoughts of a frozen assistant (SoftCoT, Xu et al. 2025, arXiv:2502.12134, section 3).

The assistant reads the history and N placeholders; its last states at these, through a learned projection
(the paper's W a + b), stand as N soft tokens between prompt and answer. The authors' assistant is a smaller
model of words that reads the question, their model is frozen and the projection alone is trained; here it is
the model itself as it was, which reads the history's semantic IDs, and the model goes on learning (adapters,
`lora`, leave most of it as it was).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lasar_kit.core.chains import follow_inputs, start_token
from lasar_kit.core.feedback import at_depth, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt, SidTable
from lasar_plugins.latent_loop.softcot.assistant import Assistant
from lasar_plugins.latent_loop.softcot.config import SoftcotConfig


class SoftcotLoop(nn.Module):
    """Thought t is fed the projection of the assistant's state at placeholder t, no state of the model's own.

    The projection begins as the identity. The answer follows a branch's last soft token; a branch of depth 0
    answers right behind its prompt.
    """

    transparent = False

    def __init__(self, config: SoftcotConfig, env: Env) -> None:
        super().__init__()
        assert env.frozen is not None
        assert env.table is not None
        backbone: Any = env.frozen()
        start = (
            start_token(backbone.tokenizer, "latent_loop softcot: start: a text") if config.start else None
        )
        self.assistant = Assistant(backbone, env.table.tokens.to(env.device), start)
        width = env.hidden_size
        self.projection: nn.Linear = skip_init(nn.Linear, width, width)
        nn.init.eye_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def extend(self, table: SidTable) -> None:
        """Let the assistant read the items of a larger catalogue."""
        self.assistant.tokens = table.tokens.to(self.projection.weight.device)

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Read `steps` soft tokens behind every prompt at once."""
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        if not steps:
            states = prompt.h0[:, :, None][:, :, :0]
            return LatentTrace(states, mask, prompt.h0, prompt.tip, prompt.context)
        fed = self.soft(backbone, prompt, steps)
        states, node, context = follow_inputs(backbone, fed, prompt.tip, prompt.context)
        last = at_depth((prompt.h0, *states.unbind(2)), depth)
        tip = at_depth((prompt.tip, *node.unbind(2)), depth)
        return LatentTrace(states, mask, last, tip, context)

    def soft(self, backbone: Backbone, prompt: Prompt, steps: int) -> Float[Tensor, "B R steps D"]:
        """The soft tokens, at first as long as an embedding; of a prompt that does not say what it shows the
        assistant reads nothing."""
        shown = prompt.tip.new_empty(*prompt.tip.shape, 0) if prompt.shown is None else prompt.shown
        thought = rescale(self.assistant(shown, steps), backbone.embedding_norm())
        soft: Tensor = self.projection(thought.to(self.projection.weight.dtype))
        return soft.to(prompt.h0.dtype)
