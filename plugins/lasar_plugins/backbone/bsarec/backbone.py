"""BSARec (Shin et al. 2024, arXiv:2312.10325), one window a prompt.

The filter lets every place of a window feel every other, so no pass reads two prefixes at once. A token's
state is that of the last place of the window which holds its own path, and the tree keeps inputs in place of
keys.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lasar_kit.core.chains import follow
from lasar_kit.core.item_backbone import ItemBackbone
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.token_tree import chain_parents, extend
from lasar_kit.core.values import Context, Env, Prompt
from lasar_kit.core.windows import WindowContext, paths
from lasar_kit.errors import UserError
from lasar_plugins.backbone.bsarec.config import BsaRecConfig
from lasar_plugins.backbone.bsarec.layers import EPS, Block

UNSEEN = -1e4
"""Added to scores of places that are not to be seen. Finite, so that a pad, which is to see no place, sees
all of them alike, as in the authors' model."""


class BsaRec(ItemBackbone):
    """Satisfies `lasar_kit.core.interfaces.Backbone` and `lasar_kit.core.capabilities.ReadsPrompts`.

    Positions count from the right edge of the window, whose left is filled by pads that the filter sees.
    """

    def __init__(self, config: BsaRecConfig, env: Env) -> None:
        super().__init__(config.hidden_size, env)
        self.config = config
        with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
            self.positions = nn.Parameter(torch.empty(config.window, config.hidden_size))
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.norm = nn.LayerNorm(config.hidden_size, eps=EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.begin(env, config.initializer_std)

    def draw(self, name: str, weight: Tensor, std: float, generator: torch.Generator) -> None:
        """Scales of high frequencies are squares of standard normal numbers."""
        if name.endswith("sqrt_beta"):
            weight.normal_(generator=generator)
        else:
            super().draw(name, weight, std, generator)

    def read_prompts(self, prompts: Prompts) -> Prompt:
        """Each prompt by one window; `states` are those of all its places."""
        assert prompts.tips.shape[1] == 1, "one prompt a row: a config that is not causal is never packed"
        width, most = prompts.ids.shape[1], self.config.window
        node = torch.arange(width, device=prompts.ids.device)
        real = node >= width - prompts.lengths[:, None]
        inputs = self.embed(prompts.ids)
        context = WindowContext(extend(None, chain_parents(real))[0], inputs)
        if width > most:
            raise self._too_long(width)
        path = torch.where(real, node, -1)
        states = self._windows(inputs, path[:, None])[:, most - width :]
        h0 = states.gather(1, prompts.tips[..., None].expand(-1, -1, states.shape[-1]))
        first = width - prompts.lengths
        shown = {"states": states, "first": first, "ends": prompts.tips, "items": prompts.items}
        if len(prompts.tail) == 0:
            return Prompt(h0, prompts.tips, context, **shown)
        ids = prompts.tail.expand(*prompts.tips.shape, -1)
        tail, tip, grown = follow(self, ids, prompts.tips, context)
        return Prompt(tail[:, :, -1], tip, grown, **shown, tail=tail)

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], WindowContext]:
        """Read Q more tokens a row (see the interface), each by a window of its own."""
        context, path = paths(inputs, parent, past)
        most = self.config.window
        if context.length > most and (longest := int((path >= 0).sum(-1).max())) > most:
            raise self._too_long(longest)
        states = self._windows(context.inputs, path[..., -most:])[:, -1]
        return states.view(*parent.shape, -1), context

    def _windows(self, inputs: Float[Tensor, "B P D"], path: Int[Tensor, "B n L"]) -> Float[Tensor, "N W D"]:
        """The states of B x n windows, each of the tokens of a path, right-aligned; -1 for none."""
        path = nn.functional.pad(path, (self.config.window - path.shape[-1], 0), value=-1)
        real = path >= 0
        rows = torch.arange(len(path), device=path.device)[:, None, None]
        x = torch.where(real[..., None], inputs[rows, path.clamp_min(0)], self._pad().to(inputs.dtype))
        x, real = x.flatten(0, 1), real.flatten(0, 1)
        states: Tensor = self.dropout(self.norm(x + self.positions.to(x.dtype)))
        mask = self._mask(real)
        for block in self.blocks:
            states = block(states, mask)
        return states

    def _mask(self, real: Bool[Tensor, "N W"]) -> Float[Tensor, "N 1 W W"]:
        """What is added to attention's scores: a place sees the tokens up to itself, a pad all alike."""
        place = torch.arange(real.shape[1], device=real.device)
        seen = real[:, None, :] & (place <= place[:, None])
        return torch.where(seen, 0.0, UNSEEN)[:, None]

    def _pad(self) -> Float[Tensor, " D"]:
        """What stands in the pads."""
        row: Tensor = self.table[self.tokenizer.pad_token_id]
        if self.config.pads == "zero":
            return torch.zeros_like(row)
        return row if self.config.pads == "trained" else row.detach()

    def _too_long(self, tokens: int) -> UserError:
        return UserError(
            f"backbone: a sequence of {tokens} tokens is longer than the model's window of "
            f"{self.config.window}; lower max_history or raise window"
        )
