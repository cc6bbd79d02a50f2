"""The pooled thought of LatentR3 (Zhang et al. 2025, arXiv:2505.19092, section 4.1; after its code).

Attention of the last state over all final states so far, one head as wide as the model with rotary positions,
is what the next slot is fed in place of an embedding; the answer follows that slot. At depth 1 that is
LatentR3; a further thought reads the thoughts before it as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lasar_kit.core.feedback import at_depth, fed_norm, read_behind, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.errors import UserError
from lasar_plugins.latent_loop.latentr3.config import LatentR3Config


@dataclass(frozen=True)
class Part:
    """Keys and values of states that were read: of a chain that branches share (R = 1), or of their own."""

    key: Float[Tensor, "B R S D"]
    value: Float[Tensor, "B R S D"]
    seen: Bool[Tensor, "B R S"] | None = None


class LatentR3Loop(nn.Module):
    """Answers follow a branch's last thought; a branch of depth 0 answers right behind its prompt.

    Values begin as the states themselves, queries and keys at random.
    """

    transparent = False

    def __init__(self, config: LatentR3Config, env: Env) -> None:
        super().__init__()
        self.config, width = config, env.hidden_size
        if width % 2:
            raise UserError(f"latent_loop latentr3: rotary positions need an even width, not {width}")
        # Salted: with the bare seed these would be multiples of the first weights that a backbone draws.
        generator = torch.Generator().manual_seed(zlib.crc32(f"latentr3 {env.seed}".encode()))
        drawn = width**-0.5 * torch.randn(2, width, width, generator=generator)
        self.query, self.key = nn.Parameter(drawn[0].clone()), nn.Parameter(drawn[1].clone())
        self.value = nn.Parameter(torch.eye(width))
        self.bias = nn.Parameter(torch.zeros(3, width))

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think `depth[b, r]` steps in each branch (see the interface)."""
        norm = fed_norm(backbone, self.config.feedback_scale)
        parts = self._read(prompt)
        place = prompt.lengths - 1 + (0 if prompt.tail is None else prompt.tail.shape[2])
        states, nodes, context = [prompt.h0], [prompt.tip], prompt.context
        for _ in range(steps):
            fed = self._pooled(states[-1], place, parts)
            fed = fed if norm is None else rescale(fed, norm)
            state, node, context = read_behind(backbone, fed.to(prompt.h0.dtype), nodes[-1], context)
            place = place + 1
            parts.append(self._part(state[:, :, None], place[..., None]))
            states.append(state)
            nodes.append(node)
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        own = torch.stack(states, dim=2)[:, :, 1:]
        return LatentTrace(own, mask, at_depth(states, depth), at_depth(nodes, depth), context)

    def _read(self, prompt: Prompt) -> list[Part]:
        """What each prompt has read, its own last token among it."""
        column = torch.arange(prompt.states.shape[1], device=prompt.first.device)
        place = (column - prompt.first[:, None])[:, None]
        parts = [self._part(prompt.states[:, None], place, prompt.mask)]
        if prompt.tail is not None:
            behind = torch.arange(prompt.tail.shape[2], device=prompt.first.device)
            parts.append(self._part(prompt.tail, prompt.lengths[..., None] + behind))
        return parts

    def _part(
        self,
        states: Float[Tensor, "B R S D"],
        place: Int[Tensor, "B R S"],
        seen: Bool[Tensor, "B P S"] | None = None,
    ) -> Part:
        h = states.to(self.query.dtype)
        key, value = h @ self.key.T + self.bias[1], h @ self.value.T + self.bias[2]
        return Part(rotated(key, place, self.config.base), value, seen)

    def _pooled(
        self, last: Float[Tensor, "B R D"], place: Int[Tensor, "B R"], parts: Sequence[Part]
    ) -> Float[Tensor, "B R D"]:
        """The mean of all values, by how well their keys fit the query of the last state."""
        query = rotated(last.to(self.query.dtype) @ self.query.T + self.bias[0], place, self.config.base)
        scores = []
        for part in parts:
            score = (
                (query[:, :, None] * part.key).sum(-1) if part.key.shape[1] > 1 else query @ part.key[:, 0].mT
            )
            score = score / query.shape[-1] ** 0.5
            scores.append(score if part.seen is None else score.masked_fill(~part.seen, -torch.inf))
        sizes = [score.shape[-1] for score in scores]
        weights = torch.split(torch.cat(scores, dim=-1).softmax(-1), sizes, dim=-1)
        pooled = [
            (weight[..., None] * part.value).sum(2) if part.value.shape[1] > 1 else weight @ part.value[:, 0]
            for weight, part in zip(weights, parts, strict=True)
        ]
        return torch.stack(pooled).sum(0)


def rotated(x: Float[Tensor, "*S D"], place: Int[Tensor, "*S"], base: float) -> Float[Tensor, "*S D"]:
    """Rotary positions (Su et al. 2021): coordinates i and i + D/2 turn by place * base^(-2i/D)."""
    half, wide = x.shape[-1] // 2, torch.promote_types(x.dtype, torch.float32)
    turn = base ** -(torch.arange(half, device=x.device, dtype=wide) / half)
    angle = (place[..., None] * turn).to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
