"""Latent loops that do more than think: one halts, one writes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.testing.tiny.thinking import TinyLoop, read

WORDS = (3, 4, 5)
"""Tokens that the tiny writer knows."""


class TinyHalter(TinyLoop):
    """Stops at the first thought that a learned gate calls the last one, more likely than not."""

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__(config, env)
        generator = torch.Generator().manual_seed(env.seed + 1)
        self.gate = nn.Parameter(2 * torch.randn(env.hidden_size, generator=generator))

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """At most `depth` thoughts."""
        states = super().run(backbone, prompt, depth, steps).states
        before = ((states @ self.gate <= 0).cumprod(-1)).sum(-1)
        return self.halted(backbone, prompt, torch.minimum(depth, before + 1), steps)

    def halted(
        self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int
    ) -> LatentTrace:
        """The chance is that of going on at all thoughts but the last, and of stopping there."""
        trace = super().run(backbone, prompt, depth, steps)
        score = trace.states @ self.gate
        last = torch.arange(score.shape[-1]) == depth[..., None] - 1
        logp = nn.functional.logsigmoid(torch.where(last, score, -score))
        return replace(trace, depth=depth, depth_logp=logp.masked_fill(~trace.mask, 0.0).sum(-1).float())


class TinyWriter(TinyLoop):
    """Writes two words, the likeliest ones, where it is to think at all."""

    limit = 2

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Word by word."""
        written = torch.full((*depth.shape, self.limit), -1)
        for place in range(self.limit):
            state = self.spell(backbone, prompt, written).last
            word = torch.tensor(WORDS)[self.logp(backbone, state).argmax(-1)]
            written[..., place] = word.where(depth > 0, -1)
        return self.spell(backbone, prompt, written)

    def spell(self, backbone: Backbone, prompt: Prompt, written: Int[Tensor, "B R W"]) -> LatentTrace:
        """Each word is the child of the one before; words past the end are read and left aside."""
        states, tips, context, logp = [prompt.h0], [prompt.tip], prompt.context, []
        for word in written.clamp_min(WORDS[0]).unbind(-1):
            place = torch.searchsorted(torch.tensor(WORDS), word)
            logp.append(self.logp(backbone, states[-1]).gather(-1, place[..., None])[..., 0])
            state, node, context = read(backbone, backbone.embed(word) * self.gain, tips[-1], context)
            states.append(state)
            tips.append(node)
        wrote = written >= 0
        end = wrote.sum(-1)[None]
        tip = torch.stack(tips).gather(0, end)[0]
        last = torch.stack(states).gather(0, end[..., None].expand(-1, -1, -1, prompt.h0.shape[-1]))[0]
        thoughts, chance = torch.stack(states[1:], dim=2), torch.stack(logp, dim=-1)
        trace = LatentTrace(thoughts, wrote, last, tip, context)
        return replace(trace, written=written, written_logp=chance.masked_fill(~wrote, 0.0))

    def logp(self, backbone: Backbone, states: Float[Tensor, "B R D"]) -> Float[Tensor, "B R K"]:
        """Of each word."""
        logp: Tensor = backbone.logits(states, torch.tensor(WORDS)).float().log_softmax(-1)
        return logp
