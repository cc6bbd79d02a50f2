"""BERT4Rec (Sun et al. 2019, arXiv:1904.06690), a mask behind each prompt.

A place's state is made of what stands on both sides of it (section 3.3), so no pass reads two prefixes at
once. A token's state on the tree is that of a mask behind its own path, by which the next one is predicted
(section 3.6), and the tree keeps inputs in place of keys.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu

from lasar_kit.core.item_backbone import ItemBackbone
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.token_tree import chain_parents, extend
from lasar_kit.core.values import Context, Env, Prompt
from lasar_kit.core.windows import WindowContext, paths
from lasar_kit.errors import UserError
from lasar_plugins.backbone.bert4rec.config import Bert4RecConfig

EPS = 1e-12


class Bert4Rec(ItemBackbone):
    """Satisfies `lasar_kit.core.interfaces.Backbone`, and of `lasar_kit.core.capabilities` `ReadsPrompts` and
    `FillsGaps`.

    The mask is a vector of its own and no token, so that it is never an answer. Positions count from the
    first token.
    """

    def __init__(self, config: Bert4RecConfig, env: Env) -> None:
        super().__init__(config.hidden_size, env)
        self.config, width = config, config.hidden_size
        with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
            self.mask = nn.Parameter(torch.empty(1, width))
            self.positions = nn.Parameter(torch.empty(config.max_positions, width))
            self.layers = nn.ModuleList(_layer(config) for _ in range(config.layers))
            self.norm = nn.LayerNorm(width, eps=EPS)
            self.project, self.output_norm = nn.Linear(width, width), nn.LayerNorm(width, eps=EPS)
            self.bias = nn.Parameter(torch.empty(len(self.table)))
        self.dropout = nn.Dropout(config.dropout)
        self.begin(env, config.initializer_std)

    def draw(self, name: str, weight: Tensor, std: float, generator: torch.Generator) -> None:
        """Norms of torch's layers have numbers in their names."""
        if weight.ndim == 1 and "norm" in name and name.endswith("weight"):
            weight.fill_(1.0)
        else:
            super().draw(name, weight, std, generator)

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Products with the input embeddings behind a projection, and a bias of each token (Eq. 7); the
        projection is normed, as in its authors' code."""
        projected = self.output_norm(gelu(self.project(hidden)))
        bias = self.bias if tokens is None else self.bias[tokens]
        return super().logits(projected, tokens) + bias

    def read_prompts(self, prompts: Prompts) -> Prompt:
        """Each prompt in one pass, its last token's state being the mask's behind it."""
        assert prompts.tips.shape[1] == 1, "one prompt a row: a config that is not causal is never packed"
        assert len(prompts.tail) == 0, "so its tail is in the chain"
        width = prompts.ids.shape[1]
        first = width - prompts.lengths
        real = torch.arange(width, device=prompts.ids.device) >= first[:, None]
        inputs = self.embed(prompts.ids)
        context = WindowContext(extend(None, chain_parents(real))[0], inputs)
        states = self._masked_behind(inputs, real)
        h0 = states[:, -1:]
        states = torch.cat([states[:, :-2], h0], dim=1)
        return Prompt(h0, prompts.tips, context, states, first, prompts.tips, prompts.items)

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], WindowContext]:
        """Read Q more tokens a row (see the interface), each by a pass over its own path."""
        context, path = paths(inputs, parent, past)
        rows = torch.arange(len(path), device=path.device)[:, None, None]
        read = context.inputs[rows, path.clamp_min(0)].flatten(0, 1)
        states = self._masked_behind(read, path.flatten(0, 1) >= 0)[:, -1]
        return states.view(*parent.shape, -1), context

    def fill(
        self, ids: Int[Tensor, "N L"], real: Bool[Tensor, "N L"], masked: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N L D"]:
        """Read sequences with the mask in place of what is masked (see `FillsGaps`)."""
        inputs = self.embed(ids)
        return self._encode(torch.where(masked[..., None], self.mask.to(inputs.dtype), inputs), real)

    def _restore(self, state: dict[str, Tensor]) -> None:
        """As the table's rows, biases of tokens that a checkpoint lacks stay as they are."""
        bias = state.pop("bias")
        self.bias[: len(bias)].copy_(bias)
        super()._restore({**state, "bias": self.bias.detach().clone()})

    def _masked_behind(
        self, inputs: Float[Tensor, "N L D"], real: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N one_more D"]:
        """States of sequences with a mask behind them."""
        mask = self.mask.to(inputs.dtype).expand(len(inputs), 1, -1)
        return self._encode(torch.cat([inputs, mask], dim=1), nn.functional.pad(real, (0, 1), value=True))

    def _encode(self, inputs: Float[Tensor, "N L D"], real: Bool[Tensor, "N L"]) -> Float[Tensor, "N L D"]:
        """States of all places, each made of all that are real."""
        most = self.config.max_positions
        if real.shape[1] > most and (longest := int(real.sum(-1).max())) > most:
            raise UserError(
                f"backbone: {longest - 1} tokens and a mask are more than the {most} positions of the model; "
                "lower max_history or raise max_positions"
            )
        position = (real.cumsum(-1) - 1).clamp(0, most - 1)
        hidden: Tensor = self.dropout(self.norm(inputs + self.positions[position].to(inputs.dtype)))
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=~real)
        return hidden


def _layer(config: Bert4RecConfig) -> nn.TransformerEncoderLayer:
    """One layer (Eqs. 1 to 5): norms behind sublayers, and dropout where BERT has it."""
    layer = nn.TransformerEncoderLayer(
        config.hidden_size,
        config.heads,
        config.intermediate_size or 4 * config.hidden_size,
        config.dropout,
        activation="gelu",
        layer_norm_eps=EPS,
        batch_first=True,
    )
    layer.self_attn.dropout, layer.dropout.p = config.attention_dropout, 0.0
    return layer
