"""A language model of one recurrent cell: a token's state is made of its parent's state and its own input.

It reads a token tree rightly because it cannot do otherwise, and every ancestor, and their order, is felt.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Context, Env

WIDTH = 6
"""Hidden width of the tiny backbone, and so of the loops, policies and decoders that are tried on it."""

SPECIAL = ("<pad>", "<bos>", "<eos>", "red", "dry", "hair")
"""Tokens that the tokenizer has of its own."""


class TinyTokenizer:
    """Tokens by name; text is split at spaces, and what is unknown is `<pad>`."""

    pad_token_id, bos_token_id, eos_token_id = 0, 1, 2

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self.tokens = tokens
        self.index = {token: place for place, token in enumerate(tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.index)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        if isinstance(tokens, str):
            return self.index.get(tokens, self.pad_token_id)
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        return self.tokens[ids] if isinstance(ids, int) else [self.tokens[int(place)] for place in ids]

    @property
    def all_special_ids(self) -> list[int]:
        return [self.pad_token_id, self.bos_token_id, self.eos_token_id]

    def __call__(self, text: Any, **options: Any) -> dict[str, Any]:
        if isinstance(text, str):
            return {"input_ids": self.convert_tokens_to_ids(text.split())}
        return {"input_ids": [self.convert_tokens_to_ids(one.split()) for one in text]}


@dataclass(frozen=True)
class Nodes(Context):
    """The state of every node read so far."""

    states: Float[Tensor, "B P D"]

    @property
    def length(self) -> int:
        return self.states.shape[1]


class TinyBackbone(nn.Module):
    """`state = sin(parent's state A + input B + c)`, a root's parent being zero."""

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        self.hidden_size = WIDTH
        tokens = dict.fromkeys((*SPECIAL, *env.vocabulary))
        if env.checkpoint is not None:
            tokens = dict.fromkeys((*json.loads((env.checkpoint / "tokens.json").read_text()), *tokens))
        self.tokenizer = TinyTokenizer(tuple(tokens))
        generator = torch.Generator().manual_seed(env.seed)

        def weight(*shape: int, std: float) -> nn.Parameter:
            return nn.Parameter(std * torch.randn(*shape, generator=generator))

        width = self.hidden_size
        self.table = weight(len(tokens), width, std=1.0)
        self.carry = weight(width, width, std=1.5 / math.sqrt(width))
        self.read = weight(width, width, std=1.0 / math.sqrt(width))
        self.bias = weight(width, std=0.5)
        self.head = weight(len(tokens), width, std=1.0)
        if env.checkpoint is not None:
            self.load_state_dict(load_file(env.checkpoint / "model.safetensors"))
        self.to(env.device)

    def embed(self, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Rows of the table."""
        return self.table[ids]

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], Nodes]:
        """A generation of tokens after the other."""
        assert past is None or isinstance(past, Nodes)
        # Node -1, a root's parent, stands first.
        root = inputs.new_zeros(len(inputs), 1, self.hidden_size)
        known = root if past is None else torch.cat([root, past.states], dim=1)
        first, row = known.shape[1], torch.arange(len(inputs), device=inputs.device)[:, None]
        ahead = parent >= first - 1 + torch.arange(inputs.shape[1], device=parent.device)
        assert not ahead.any(), f"parent {int(parent[ahead][0])} is yet to be read"
        place = 0
        while place < inputs.shape[1]:
            # As many tokens at once as have their parents among those already read.
            inside = (parent[:, place:] >= known.shape[1] - 1).any(0).int()
            count = int(inside.argmax()) if inside.any() else len(inside)
            now = slice(place, place + count)
            known = torch.cat([known, self.cell(known[row, parent[:, now] + 1], inputs[:, now])], dim=1)
            place += count
        return known[:, first:], Nodes(known[:, 1:])

    def cell(self, before: Float[Tensor, "B Q D"], read: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q D"]:
        """The states of tokens behind their parents'."""
        return torch.sin(before @ self.carry + read @ self.read + self.bias)

    def fill(
        self, ids: Int[Tensor, "N L"], real: Bool[Tensor, "N L"], masked: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N L D"]:
        """States of chains whose masked tokens are zeros; what comes behind a place is not felt."""
        inputs = self.embed(ids).masked_fill(masked[..., None], 0.0)
        return self.advance(inputs, chain_parents(real), None)[0]

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Products with the head's rows."""
        return hidden @ (self.head if tokens is None else self.head[tokens]).T

    def embedding_norm(self) -> Float[Tensor, ""]:
        """Mean norm of the table's rows."""
        mean: Tensor = self.table.detach().norm(dim=-1).mean()
        return mean

    def save(self, directory: Path) -> None:
        """Weights as safetensors, tokens as JSON."""
        directory.mkdir(parents=True, exist_ok=True)
        save_file(dict(self.state_dict()), directory / "model.safetensors")
        (directory / "tokens.json").write_text(json.dumps(self.tokenizer.tokens))


class CoarseBackbone(TinyBackbone):
    """Rounds its logits to halves, so that many are equal to the last bit."""

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Halves."""
        return (2 * super().logits(hidden, tokens)).round() / 2
