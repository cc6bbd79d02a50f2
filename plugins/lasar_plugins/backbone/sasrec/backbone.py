"""SASRec read through the token tree (Kang and McAuley 2018, arXiv:1808.09781).

Layers are post-norm and GELU as in the versions of it that reach its public level with a full softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lasar_kit.core.token_tree import TokenTree, extend
from lasar_kit.core.values import Context, Env
from lasar_kit.errors import UserError
from lasar_plugins.backbone.sasrec.config import SasRecConfig
from lasar_plugins.backbone.sasrec.layers import KeysValues, Layer

SPECIAL = ("<pad>", "<bos>", "<eos>")
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class TreeContext(Context):
    """Keys and values of each layer, and the tree of the tokens they belong to."""

    tree: TokenTree
    layers: tuple[KeysValues, ...]

    @property
    def length(self) -> int:
        return len(self.tree)


class SasRec(nn.Module):
    """Satisfies `lasar_kit.core.interfaces.Backbone`.

    A token's input is its embedding, or whatever stands in its place, plus a learned embedding of its
    position in the tree. Weights and dropout are drawn by `env.seed` and by torch's global generator.
    """

    def __init__(self, config: SasRecConfig, env: Env) -> None:
        super().__init__()
        self.config, self.hidden_size = config, config.hidden_size
        words, stored = _vocabulary(env)
        self.tokenizer: Any = _tokenizer(words)
        with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
            self.table = nn.Parameter(torch.empty(len(words), config.hidden_size))
            self.positions = nn.Parameter(torch.empty(config.max_positions, config.hidden_size))
            self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
            self.norm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self._initialise(env.seed)
        if env.checkpoint is not None:
            self._restore(load_file(env.checkpoint / WEIGHTS), stored)
        self.to(env.device)

    def embed(self, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Rows of the embedding table."""
        return self.table[ids]

    def embedding_norm(self) -> Float[Tensor, ""]:
        """Mean norm of the table's rows."""
        mean: Tensor = self.table.detach().norm(dim=-1).mean()
        return mean

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Products of states with the rows of the table."""
        return hidden @ (self.table if tokens is None else self.table[tokens]).T

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

    def save(self, directory: Path) -> None:
        """Write weights (safetensors) and the list of tokens."""
        directory.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(state, directory / WEIGHTS)
        self.tokenizer.save_pretrained(directory)

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        """Normal weights, zero biases, unit norms."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, self.config.initializer_std, generator=generator)
            else:
                weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)

    @torch.no_grad()
    def _restore(self, state: dict[str, Tensor], stored: int) -> None:
        """Weights of a checkpoint; tokens that it lacks keep their initial rows."""
        table = state.pop("table")
        self.table[:stored].copy_(table)
        self.load_state_dict({**state, "table": self.table.detach().clone()})


def _vocabulary(env: Env) -> tuple[list[str], int]:
    """All tokens, those of a checkpoint first, and how many these are."""
    known: list[str] = list(SPECIAL)
    if env.checkpoint is not None:
        tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(env.checkpoint)
        known = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    words = list(dict.fromkeys((*known, *env.vocabulary)))
    return words, len(known) if env.checkpoint is not None else 0


def _tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows these tokens and no words."""
    index = {word: place for place, word in enumerate(words)}
    pad, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer(models.WordLevel(index, unk_token=pad)),
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
