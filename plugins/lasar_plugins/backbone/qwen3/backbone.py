"""Qwen3 read through the token tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache, DynamicLayer

from lasar_kit.core.exported import for_both_versions
from lasar_kit.core.token_tree import TokenTree, additive, extend
from lasar_kit.core.values import Context, Env
from lasar_kit.errors import UserError
from lasar_plugins.backbone.qwen3 import lora, tables, weights
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.backbone.qwen3.room import KeysValues, Room
from lasar_plugins.backbone.qwen3.step import applies, step
from lasar_plugins.backbone.qwen3.tokenizer import add_vocabulary, train_tokenizer


@dataclass(frozen=True)
class TreeContext(Context):
    """Keys and values of each layer, and the tree of the tokens they belong to.

    `room` is the memory they stand in, where it holds more.
    """

    tree: TokenTree
    layers: tuple[KeysValues, ...]
    room: Room | None = None

    @property
    def length(self) -> int:
        return len(self.tree)


class Qwen3Backbone(nn.Module):
    """Satisfies `lasar_kit.core.interfaces.Backbone`.

    `env.checkpoint` is restored exactly; else `config.pretrained` is loaded; else a model is initialised by
    `env.seed` with a tokenizer trained on `env.corpus()`. Tokens of `env.vocabulary` that the tokenizer
    lacks are added, and their embeddings initialised by the same seed. With `config.lora`, adapters and the
    embeddings of these tokens are all that takes gradients.
    """

    def __init__(self, config: Qwen3Config, env: Env) -> None:
        super().__init__()
        source = env.checkpoint or config.pretrained
        self.model: Any
        self.tokenizer: Any
        if config.lora:
            self.model, self.tokenizer = lora.load(config, env)
        elif source is None:
            self.tokenizer = train_tokenizer(env.corpus(), config.text_vocabulary, config.max_positions)
            add_vocabulary(self.tokenizer, env.vocabulary)
            self.model = weights.from_scratch(config, self.tokenizer, env.seed)
        else:
            self.model, self.tokenizer = weights.load(source, config)
            added = add_vocabulary(self.tokenizer, env.vocabulary)
            std = None if config.pretrained else config.initializer_std
            weights.add_rows(self.model, added, len(self.tokenizer), std, env.seed)
        self.adapted = config.lora is not None
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.hidden_size: int = self.model.config.hidden_size
        self.to(env.device)

    def embed(self, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Input embeddings of token ids, with dropout in training."""
        embedded: Tensor = self.embedding_dropout(tables.embed(self.model.get_input_embeddings(), ids))
        return embedded

    def embedding_norm(self) -> Float[Tensor, ""]:
        """Mean norm of all input embeddings, without gradient and dropout."""
        return tables.norms(self.model.get_input_embeddings()).mean()

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Next-token logits of states that `advance` gave, of all tokens or of some."""
        return tables.project(self.model.get_output_embeddings(), hidden, tokens)

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], TreeContext]:
        """Read Q more tokens a row (see the interface).

        A first call that is a chain runs as ordinary causal attention; else few tokens with an explicit mask.
        """
        assert past is None or isinstance(past, TreeContext)
        tree, seen, position = extend(past.tree if past else None, parent)
        self._check_length(len(tree), position)
        # Ones and not None, which transformers takes for packed sequences where positions have gaps.
        mask = torch.ones_like(parent) if seen is None else additive(seen, inputs.dtype)
        if past and applies(self.model, inputs):
            room = Room.for_more(past.room, past.layers, parent.shape[1])
            fresh, layers = room.take(parent.shape[1])
            hidden = step(self.model.model, inputs, mask, position, fresh, layers)
            return hidden, TreeContext(tree, layers, room)
        cache: Any = _branch(past.layers) if past else DynamicCache()
        output = self.model.model(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state, TreeContext(tree, tuple((x.keys, x.values) for x in cache.layers))

    def _check_length(self, nodes: int, position: Int[Tensor, "B Q"]) -> None:
        """No path is longer than the tree has nodes, so the positions themselves are seldom looked at."""
        most = self.model.config.max_position_embeddings
        if nodes > most and (longest := int(position.max()) + 1) > most:
            raise UserError(
                f"backbone: a sequence of {longest} tokens is longer than the {most} positions of the model; "
                "shorten it (max_history, the prompt, max_tokens), or raise max_positions of one from scratch"
            )

    def save(self, directory: Path) -> None:
        """Write model (safetensors) and tokenizer for `AutoModelForCausalLM` and `AutoTokenizer`, of
        transformers 4 as well.

        Adapters are merged into the model, and stand beside it for training to go on with.
        """
        if self.adapted:
            lora.save(self.model, directory)
        else:
            self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)
        for_both_versions(directory)


def _branch(layers: tuple[KeysValues, ...]) -> Cache:
    """A cache that grows from these keys and values and leaves them as they are, the graph included.

    The layers are filled by hand because `DynamicCache(pairs)` would copy every key and value once more.
    """
    grown: list[Any] = []
    for keys, values in layers:
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        layer.is_initialized = True
        grown.append(layer)
    return Cache(layers=grown)
