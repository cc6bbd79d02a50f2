"""Causal language models of transformers, read through the token tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache, DynamicCache, DynamicLayer, PreTrainedTokenizerBase

from lasar_kit.core.exported import for_both_versions
from lasar_kit.core.token_tree import TokenTree, additive, extend
from lasar_kit.core.values import Context, Env
from lasar_kit.errors import UserError
from lasar_plugins.backbone.hf_causal import lora, tables, weights
from lasar_plugins.backbone.hf_causal.architecture import FULL, SLIDING, TESTED, Architecture
from lasar_plugins.backbone.hf_causal.config import CausalOptions
from lasar_plugins.backbone.hf_causal.exactness import refuse_inexact
from lasar_plugins.backbone.hf_causal.room import KeysValues, Room
from lasar_plugins.backbone.hf_causal.sharded import announced
from lasar_plugins.backbone.hf_causal.tokenizer import add_vocabulary


@dataclass(frozen=True)
class TreeContext(Context):
    """Keys and values of each layer, and the tree of the tokens they belong to.

    `room` is the memory they stand in, where it holds more; `positions` those of all nodes, where the model
    has windows.
    """

    tree: TokenTree
    layers: tuple[KeysValues, ...]
    room: Room | None = None
    positions: Int[Tensor, "B P"] | None = None

    @property
    def length(self) -> int:
        return len(self.tree)


@dataclass(frozen=True)
class Reading:
    """Q more tokens a row, placed: the tree with them, what each sees (None: all before it), positions."""

    tree: TokenTree
    seen: Bool[Tensor, "B Q nodes"] | None
    position: Int[Tensor, "B Q"]
    positions: Int[Tensor, "B nodes"] | None


class HfCausalBackbone(nn.Module):
    """Satisfies `lasar_kit.core.interfaces.Backbone`.

    `env.checkpoint` is restored exactly; else `config.pretrained` is loaded. Tokens of `env.vocabulary` that
    the tokenizer lacks are added, and their embeddings initialised by `env.seed`. With `config.lora`,
    adapters and the embeddings of these tokens are all that takes gradients. An architecture that is not
    among those tested is read once, and refused if the token tree is not exact on it.
    """

    only: tuple[str, ...] | None = None
    """The architectures that are let in, all that can be read if None."""

    def __init__(self, config: CausalOptions, env: Env) -> None:
        super().__init__()
        self.model: Any
        self.tokenizer: Any
        self.architecture: Architecture
        self.model, self.tokenizer, self.architecture = self._loaded(config, env)
        self.adapted = config.lora is not None
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.hidden_size: int = self.model.config.hidden_size
        if self.architecture.name not in TESTED:
            place = f"{weights.OPTION}: {env.checkpoint or config.pretrained}"
            refuse_inexact(self.to(env.device), place, self.architecture.name)
        if config.lora:
            self.tokenizer = lora.adapt(self.model, self.tokenizer, config.lora, env)
        else:
            added = add_vocabulary(self.tokenizer, env.vocabulary)
            weights.add_rows(self.model, added, len(self.tokenizer), self._initial_std(config), env.seed)
        self.to(env.device)

    def _loaded(self, config: CausalOptions, env: Env) -> tuple[Any, PreTrainedTokenizerBase, Architecture]:
        """Model, tokenizer and architecture as they lie there; adapters belong on `config.pretrained`."""
        return weights.load(None if config.lora else env.checkpoint, config, self.only)

    def _initial_std(self, config: CausalOptions) -> float | None:
        """Standard deviation of new embeddings; None takes it from the old ones."""
        return None

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
        return self.architecture.logits(tables.project(self.model.get_output_embeddings(), hidden, tokens))

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], TreeContext]:
        """Read Q more tokens a row (see the interface).

        A first call that is a chain runs as ordinary causal attention; else few tokens with an explicit mask.
        """
        assert past is None or isinstance(past, TreeContext)
        reading = self._place(parent, past)
        cache: Any = _branch(past.layers) if past else DynamicCache()
        output = self.model.base_model(
            inputs_embeds=inputs,
            attention_mask=self._mask(reading, inputs),
            position_ids=reading.position,
            past_key_values=cache,
            use_cache=True,
        )
        kept = [(x.keys, x.values) for x in cache.layers]
        layers = announced(self.model, output.last_hidden_state, kept)
        return output.last_hidden_state, TreeContext(reading.tree, layers, positions=reading.positions)

    def _place(self, parent: Int[Tensor, "B Q"], past: TreeContext | None) -> Reading:
        """Where tokens stand in the tree; `UserError` where a path is longer than the model reads."""
        tree, seen, position = extend(past.tree if past else None, parent)
        longest = self.architecture.longest
        # No path is longer than the tree has nodes, so the positions themselves are seldom looked at.
        if longest and len(tree) > longest and (most := int(position.max()) + 1) > longest:
            raise UserError(
                f"backbone: a sequence of {most} tokens is longer than the {longest} positions of the model; "
                "shorten it (max_history, the prompt, max_tokens), or raise max_positions of one from scratch"
            )
        if self.architecture.window is None:
            return Reading(tree, seen, position, None)
        earlier = past.positions if past else None
        return Reading(
            tree, seen, position, position if earlier is None else torch.cat([earlier, position], 1)
        )

    def _mask(self, reading: Reading, inputs: Float[Tensor, "B Q D"]) -> Tensor | dict[str, Tensor]:
        """The attention mask, where layers differ in it one for each of their kinds."""
        if reading.seen is None:
            # Not None, which transformers takes for packed sequences where positions have gaps.
            return torch.ones_like(reading.position)
        window = self.architecture.window
        if window is None or reading.positions is None:
            return additive(reading.seen, inputs.dtype)
        distance = reading.position[..., None] - reading.positions[:, None]
        near = additive(reading.seen & (distance < window), inputs.dtype)
        return (
            {FULL: additive(reading.seen, inputs.dtype), SLIDING: near} if self.architecture.mixed else near
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
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        layer.is_initialized = True
        grown.append(layer)
    return Cache(layers=grown)
