"""GRU4Rec read through the token tree (Hidasi et al. 2016, arXiv:1511.06939).

A node keeps the state of each layer, and a token goes on from its parent's: branches are exact, and cost a
step of the recurrence for each generation of new tokens.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout

from lasar_kit.core.item_backbone import ItemBackbone
from lasar_kit.core.token_tree import chain_start
from lasar_kit.core.values import Context, Env
from lasar_plugins.backbone.gru4rec.config import Gru4RecConfig


@dataclass(frozen=True)
class StateContext(Context):
    """The state of each of K layers at each of P nodes."""

    states: Float[Tensor, "B P K H"]

    @property
    def length(self) -> int:
        return self.states.shape[1]


class Gru4Rec(ItemBackbone):
    """Satisfies `lasar_kit.core.interfaces.Backbone`. A token's state is a linear map of the last layer's."""

    def __init__(self, config: Gru4RecConfig, env: Env) -> None:
        super().__init__(config.hidden_size, env)
        self.config = config
        with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
            self.cells = nn.ModuleList(
                nn.GRU(config.state_size if k else config.hidden_size, config.state_size, batch_first=True)
                for k in range(config.layers)
            )
            self.out = nn.Linear(config.state_size, config.hidden_size)
        self.begin(env, config.initializer_std)

    def draw(self, name: str, weight: Tensor, std: float, generator: torch.Generator) -> None:
        """Matrices by Glorot's rule, but for the embeddings."""
        if name != "table" and weight.ndim > 1:
            nn.init.xavier_uniform_(weight, generator=generator)
        else:
            super().draw(name, weight, std, generator)

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], StateContext]:
        """Read Q more tokens a row (see the interface)."""
        assert past is None or isinstance(past, StateContext)
        x = dropout(inputs, self.config.dropout, self.training)
        start = chain_start(parent) if past is None else None
        if start is not None:
            new = self._chain(x, start)
        else:
            new = self._tree(x, parent, past.states if past else None)
        states: Tensor = self.out(new[:, :, -1])
        return states, StateContext(new if past is None else torch.cat([past.states, new], dim=1))

    def _chain(self, x: Float[Tensor, "B Q D"], start: Int[Tensor, " B"]) -> Float[Tensor, "B Q K H"]:
        """States of left pads, each a root, and one chain behind them: turned left, rows begin together."""
        width = x.shape[1]
        place = torch.arange(width, device=x.device)
        turned = ((place + start[:, None]) % width)[..., None]
        back = ((place - start[:, None]) % width)[..., None]
        masks = self._between(x)
        lone = self._step(x, x.new_zeros(*x.shape[:2], len(self.cells), self.config.state_size), masks)
        x = x.gather(1, turned.expand_as(x))
        layers = []
        for depth, cell in enumerate(self.cells):
            x = x * masks[depth].gather(1, turned.expand_as(masks[depth])) if depth else x
            with _cudnn(enabled=self.training or not torch.is_grad_enabled()):
                x, _ = cell(x)
            layers.append(x.gather(1, back.expand_as(x)))
        pad = (place < start[:, None])[..., None, None]
        return torch.where(pad, lone, torch.stack(layers, dim=2))

    def _tree(
        self, x: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Float[Tensor, "B P K H"] | None
    ) -> Float[Tensor, "B Q K H"]:
        """States of any new tokens, a generation at a time: each step gives all tokens another try, and the
        g-th is right for those of generation g."""
        nodes = past.shape[1] if past is not None else 0
        shape = (*parent.shape, len(self.cells), self.config.state_size)
        born, ancestor = x.new_zeros(shape), parent >= 0
        if past is not None:
            held = parent.clamp(0, nodes - 1)[..., None, None].expand(*shape)
            born = torch.where((ancestor & (parent < nodes))[..., None, None], past.gather(1, held), born)
        within = parent >= nodes
        inside = (parent - nodes).clamp_min(0)[..., None, None].expand(*shape)
        masks = self._between(x)
        new = self._step(x, born, masks)
        for _ in range(_generations(parent - nodes) - 1):
            before = torch.where(within[..., None, None], new.gather(1, inside), born)
            new = torch.where(within[..., None, None], self._step(x, before, masks), new)
        return new

    def _between(self, x: Float[Tensor, "B Q D"]) -> list[Float[Tensor, "B Q H"]]:
        """Dropout of what a layer is given by the one before it; the first one's is not asked for."""
        ones = x.new_ones(*x.shape[:2], self.config.state_size)
        return [ones, *(dropout(ones, self.config.dropout, self.training) for _ in self.cells[1:])]

    def _step(
        self, x: Float[Tensor, "B Q D"], before: Float[Tensor, "B Q K H"], masks: list[Tensor]
    ) -> Float[Tensor, "B Q K H"]:
        """One step of the recurrence from given states; `masks` are dropout's, between layers."""
        layers, shape = [], x.shape[:2]
        for depth, cell in enumerate(self.cells):
            x = x if depth == 0 else x * masks[depth]
            h = before[:, :, depth].flatten(0, 1)
            weights: Any = (cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)
            x = torch.gru_cell(x.flatten(0, 1), h, *weights).view(*shape, -1)
            layers.append(x)
        return torch.stack(layers, dim=2)


def _cudnn(enabled: bool) -> AbstractContextManager[None]:
    """cuDNN where it can: it has no backward pass of a network in evaluation mode.

    Its recurrences take TF32 of themselves; here `torch.set_float32_matmul_precision` says so for them too.
    """
    kept = torch.backends.cudnn
    return torch.backends.cudnn.flags(
        enabled=enabled and kept.enabled,
        benchmark=kept.benchmark,
        deterministic=kept.deterministic,
        allow_tf32=torch.get_float32_matmul_precision() != "highest",
    )


def _generations(parent: Int[Tensor, "B Q"]) -> int:
    """How many tokens of this call the longest path has; `parent` counts within the call."""
    depth = torch.ones_like(parent)
    inside = parent >= 0
    jump = torch.where(inside, parent, -1)
    for _ in range(parent.shape[1].bit_length()):
        held = jump.clamp_min(0)
        depth = depth + torch.where(jump >= 0, depth.gather(1, held), 0)
        jump = torch.where(jump >= 0, jump.gather(1, held), -1)
    return int(depth.max())
