"""Texts of different lengths behind one prompt, read at once without pads between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Context, Prompt
from lasar_kit.process.world import several


@dataclass(frozen=True)
class Paths:
    """Branches of a row as paths of `count` tokens, one behind the other: token k of branch r is token
    `start[b, r] + k` of the `width` that a row reads."""

    count: Int[Tensor, "B R"]
    start: Int[Tensor, "B R"]
    longest: int
    width: int

    @classmethod
    def of(cls, count: Int[Tensor, "B R"], longest: int) -> Paths:
        """Paths of so many tokens, none of more than `longest`.

        On several processes a row reads a token at least: where weights are sharded each read is an exchange,
        which waits for those that have something to read.
        """
        return cls(count, count.cumsum(1) - count, longest, max(int(count.sum(1).max()), int(several())))

    def read(
        self, backbone: Backbone, ids: Int[Tensor, "B R longest"], prompt: Prompt
    ) -> tuple[Float[Tensor, "B width D"], Context]:
        """Read each path behind its tip; a row's pads are roots that nobody descends from."""
        place = torch.arange(self.longest, device=ids.device)
        flat = self.start[..., None] + place
        node = prompt.context.length + flat
        parent = torch.cat([prompt.tip[..., None], node[..., :-1]], dim=-1)
        # What is behind the end of a path goes to a column of its own, which is cut off.
        index = torch.where(place < self.count[..., None], flat, self.width).flatten(1)
        tokens, parents = (
            torch.full((len(ids), self.width + 1), filler, device=ids.device).scatter(
                1, index, values.flatten(1)
            )[:, :-1]
            for values, filler in ((ids, 0), (parent, -1))
        )
        return backbone.advance(backbone.embed(tokens), parents, prompt.context)

    def states(
        self, states: Float[Tensor, "B width D"], place: Int[Tensor, "*R n"]
    ) -> Float[Tensor, "B R n D"]:
        """States at places of each path; any at those behind its end."""
        index = (self.start[..., None] + place).clamp(max=self.width - 1)
        rows = torch.arange(len(states), device=states.device)[:, None, None]
        return states[rows, index]
