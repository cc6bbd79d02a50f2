"""What small backbones over items share: a table of tokens that is the output too, and no words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lasar_kit.core.values import Env

SPECIAL = ("<pad>", "<bos>", "<eos>")
WEIGHTS = "model.safetensors"


class ItemBackbone(nn.Module):
    """The table, its tokenizer, and their files; a subclass adds layers, then calls `begin`, and reads.

    Weights are drawn by `env.seed` alone, whatever torch's global generator stands at.
    """

    def __init__(self, hidden_size: int, env: Env) -> None:
        super().__init__()
        words, self._stored = known_tokens(env)
        self.hidden_size = hidden_size
        self.tokenizer: Any = token_tokenizer(words)
        self.table = nn.Parameter(torch.empty(len(words), hidden_size))

    def begin(self, env: Env, std: float) -> None:
        """Draw the weights, or read those of `env.checkpoint`; go to the device."""
        generator = torch.Generator().manual_seed(env.seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                self.draw(name, weight, std, generator)
            if env.checkpoint is not None:
                self._restore(load_file(env.checkpoint / WEIGHTS))
        self.to(env.device)

    def draw(self, name: str, weight: Tensor, std: float, generator: torch.Generator) -> None:
        """Normal weights, zero biases, unit norms."""
        if weight.ndim > 1:
            weight.normal_(0.0, std, generator=generator)
        else:
            weight.fill_(1.0 if name.endswith("norm.weight") else 0.0)

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

    def save(self, directory: Path) -> None:
        """Write weights (safetensors) and the list of tokens."""
        directory.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(state, directory / WEIGHTS)
        self.tokenizer.save_pretrained(directory)

    def _restore(self, state: dict[str, Tensor]) -> None:
        """Weights of a checkpoint; tokens that it lacks keep their initial rows."""
        table = state.pop("table")
        self.table[: self._stored].copy_(table)
        self.load_state_dict({**state, "table": self.table.detach().clone()})


def known_tokens(env: Env) -> tuple[list[str], int]:
    """All tokens, those of a checkpoint first, and how many these are."""
    known: list[str] = list(SPECIAL)
    if env.checkpoint is not None:
        tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(env.checkpoint)
        known = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    words = list(dict.fromkeys((*known, *env.vocabulary)))
    return words, len(known) if env.checkpoint is not None else 0


def token_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows these tokens and no words."""
    index = {word: place for place, word in enumerate(words)}
    pad, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(index, unk_token=pad)),
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
