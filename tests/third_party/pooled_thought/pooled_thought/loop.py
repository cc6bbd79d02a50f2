"""The pooled thought of LatentR3 on the token tree.

Attention of the last state over all final states so far, its own among them, is what the next slot is fed in
place of an embedding. At depth 1 that is LatentR3; a further thought reads the thoughts before it as well.
"""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.errors import UserError
from pooled_thought.config import PooledThoughtConfig


class PooledThought(nn.Module):
    """Answers follow a branch's last thought; a branch of depth 0 answers right behind its prompt."""

    transparent = False

    def __init__(self, config: PooledThoughtConfig, env: Env) -> None:
        super().__init__()
        width, self.heads = env.hidden_size, config.heads
        if width % self.heads:
            raise UserError(f"latent_loop pooled_thought: {self.heads} heads do not divide the width {width}")
        # Salted: with the bare seed these would be multiples of the first weights that a backbone draws.
        generator = torch.Generator().manual_seed(zlib.crc32(f"pooled_thought {env.seed}".encode()))

        def square(std: float) -> nn.Parameter:
            return nn.Parameter(std * torch.randn(width, width, generator=generator))

        self.query, self.key = square(width**-0.5), square(width**-0.5)
        self.value = nn.Parameter(torch.eye(width))
        self.scale = nn.Parameter(torch.tensor(config.scale))

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think `depth[b, r]` steps in each branch (see the interface)."""
        rows, branches, _ = prompt.h0.shape
        branch = torch.arange(branches, device=depth.device).expand(rows, -1)
        known, seen = read_by(prompt)
        norm = backbone.embedding_norm()
        states, tips, context = [prompt.h0], [prompt.tip], prompt.context
        for _ in range(steps):
            fed = self.pooled(states[-1], known, seen, norm)
            node = context.length + branch
            state, context = backbone.advance(fed, tips[-1], context)
            states.append(state)
            tips.append(node)
            known = torch.cat([known, state[:, :, None]], dim=2)
            seen = torch.cat([seen, torch.ones_like(seen[..., :1])], dim=2)
        h_BRTD, own = torch.stack(states, dim=2), depth[..., None]
        last = h_BRTD.take_along_dim(own[..., None], dim=2)[:, :, 0]
        tip = torch.stack(tips, dim=2).take_along_dim(own, dim=2)[..., 0]
        return LatentTrace(
            h_BRTD[:, :, 1:], torch.arange(steps, device=depth.device) < own, last, tip, context
        )

    def pooled(
        self,
        last: Float[Tensor, "B R D"],
        known: Float[Tensor, "B R S D"],
        seen: Bool[Tensor, "B R S"],
        norm: Float[Tensor, ""],
    ) -> Float[Tensor, "B R D"]:
        """Return the next thought's input: heads' weighted means of the known states, at a learned length."""
        kind = self.query.dtype
        query, key, value = (
            (states.to(kind) @ weight.T).unflatten(-1, (self.heads, -1))
            for states, weight in ((last, self.query), (known, self.key), (known, self.value))
        )
        scores = torch.einsum("brhe,brshe->brhs", query, key) / query.shape[-1] ** 0.5
        weights = scores.masked_fill(~seen[:, :, None], -torch.inf).softmax(-1)
        mixed = torch.einsum("brhs,brshe->brhe", weights, value).flatten(-2)
        return (normalize(mixed, dim=-1) * self.scale * norm).to(last.dtype)


def read_by(prompt: Prompt) -> tuple[Float[Tensor, "B R S D"], Bool[Tensor, "B R S"]]:
    """The states that each prompt has read, its own last one among them, and which of them are real."""
    branches = prompt.tip.shape[1]
    known, seen = prompt.states[:, None].expand(-1, branches, -1, -1), prompt.mask
    if prompt.tail is not None:
        known = torch.cat([known, prompt.tail], dim=2)
        seen = torch.cat([seen, seen.new_ones(prompt.tail.shape[:3])], dim=2)
    return known.masked_fill(~seen[..., None], 0.0), seen
