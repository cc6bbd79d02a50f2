"""SASRec read through the token tree (Kang and McAuley 2018, arXiv:1808.09781).

Layers are post-norm and GELU as in the versions of it that reach its public level with a full softmax.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.item_backbone import ItemBackbone
from lasar_kit.core.token_tree import TokenTree, extend
from lasar_kit.core.values import Context, Env
from lasar_kit.errors import UserError
from lasar_plugins.backbone.sasrec.config import SasRecConfig
from lasar_plugins.backbone.sasrec.layers import KeysValues, Layer


@dataclass(frozen=True)
class TreeContext(Context):
    """Keys and values of each layer, and the tree of the tokens they belong to."""

    tree: TokenTree
    layers: tuple[KeysValues, ...]

    @property
    def length(self) -> int:
        return len(self.tree)


class SasRec(ItemBackbone):
    """Satisfies `lasar_kit.core.interfaces.Backbone`.

    A token's input is its embedding, or whatever stands in its place, plus a learned embedding of its
    position in the tree. Weights and dropout are drawn by `env.seed` and by torch's global generator.
    """

    def __init__(self, config: SasRecConfig, env: Env) -> None:
        super().__init__(config.hidden_size, env)
        self.config = config
        with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
            self.positions = nn.Parameter(torch.empty(config.max_positions, config.hidden_size))
            self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
            self.norm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.begin(env, config.initializer_std)

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], TreeContext]:
        """Read Q more tokens a row (see the interface)."""
        assert past is None or isinstance(past, TreeContext)
        tree, seen, position = extend(past.tree if past else None, parent)
        most = len(self.positions)
        if len(tree) > most and (longest := int(position.max()) + 1) > most:
            raise UserError(
                f"backbone: a sequence of {longest} tokens is longer than the {most} positions of the model; "
                "lower max_history or raise max_positions"
            )
        hidden = inputs + self.positions[position].to(inputs.dtype)
        hidden = self.dropout(hidden if self.config.norm == "pre" else self.norm(hidden))
        mask = None if seen is None else seen[:, None]
        grown = []
        for place, layer in enumerate(self.layers):
            hidden, own = layer(hidden, mask, past.layers[place] if past else None)
            grown.append(own)
        last: Tensor = self.norm(hidden) if self.config.norm == "pre" else hidden
        return last, TreeContext(tree, tuple(grown))
