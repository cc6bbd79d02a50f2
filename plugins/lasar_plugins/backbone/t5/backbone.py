"""T5 (Raffel et al. 2020) of transformers as a recommender's backbone (TIGER, Rajput et al. 2023).

A prompt is read by the encoder; the token tree is the decoder's, and begins with its start token. Weights,
names and files are those of `T5ForConditionalGeneration`; the decoder's layers are read here, for positions
and masks of a tree, which its own forward cannot be given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import T5Config as ArchitectureConfig
from transformers import T5ForConditionalGeneration

from lasar_kit.core.item_backbone import WEIGHTS, known_tokens, token_tokenizer
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.token_tree import TokenTree, additive, extend
from lasar_kit.core.values import Context, Env, Prompt
from lasar_plugins.backbone.t5.config import T5Config

KeysValues = tuple[Float[Tensor, "B h P d"], Float[Tensor, "B h P d"]]
TABLE = "shared.weight"


@dataclass(frozen=True)
class DecoderContext(Context):
    """Keys and values of the tree's tokens, layer by layer, their tree and positions.

    `memory` are those of what the encoder read, and `unread` is added to the scores of its pads; None where
    nothing was read.
    """

    tree: TokenTree
    positions: Int[Tensor, "B P"]
    layers: tuple[KeysValues, ...]
    memory: tuple[KeysValues, ...] | None = None
    unread: Float[Tensor, "B 1 1 L"] | None = None

    @property
    def length(self) -> int:
        return len(self.tree)


class T5(nn.Module):
    """Satisfies `lasar_kit.core.interfaces.Backbone` and `lasar_kit.core.capabilities.ReadsPrompts`.

    Weights are drawn by `env.seed` alone, as T5 draws them, or restored from `env.checkpoint`; tokens that it
    lacks keep their initial rows.
    """

    def __init__(self, config: T5Config, env: Env) -> None:
        super().__init__()
        users = tuple(f"<user_{user}>" for user in range(config.users))
        words, stored = known_tokens(replace(env, vocabulary=(*env.vocabulary, *users)))
        self.hidden_size = config.hidden_size
        self.tokenizer: Any = token_tokenizer(words)
        with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
            self.model: Any = T5ForConditionalGeneration(_architecture(config, self.tokenizer))
        _draw(self.model, env.seed)
        if env.checkpoint is not None:
            _restore(self.model, load_file(env.checkpoint / WEIGHTS), stored)
        self.users: Int[Tensor, " u"]
        ids = self.tokenizer.convert_tokens_to_ids(list(users))
        self.register_buffer("users", torch.tensor(ids, dtype=torch.int64), persistent=False)
        self.to(env.device)

    def embed(self, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Rows of the table, the encoder's and the decoder's."""
        embedded: Tensor = self.model.shared(ids)
        return embedded

    def embedding_norm(self) -> Float[Tensor, ""]:
        """Mean norm of the table's rows."""
        mean: Tensor = self.model.shared.weight.detach().norm(dim=-1).mean()
        return mean

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Products of states with the rows of the table, by the root of the width less (as T5's, tied)."""
        table: Tensor = self.model.shared.weight
        scaled: Tensor = hidden * self.hidden_size**-0.5
        return scaled @ (table if tokens is None else table[tokens]).T

    def read_prompts(self, prompts: Prompts) -> Prompt:
        """Each prompt, by the encoder, whose states are `states`; `h0` is the decoder's at its start token.

        With tokens for users the shared chain is one token longer, the user's first; `ends` count it.
        """
        assert prompts.tips.shape[1] == 1, "one prompt a row: a config that is not causal is never packed"
        assert not len(prompts.tail), "no tail on a branch: that is how prompts are packed"
        ids, real = self._chains(prompts)
        read: Tensor = self.model.encoder(
            inputs_embeds=self.embed(ids), attention_mask=real.long()
        ).last_hidden_state
        crosses = [block.layer[1].EncDecAttention for block in self.model.decoder.block]
        memory = tuple((_heads(each, each.k(read)), _heads(each, each.v(read))) for each in crosses)
        rows = torch.zeros_like(prompts.tips)
        empty = TokenTree.chain(rows[:, 0], 0)
        begun = DecoderContext(empty, rows[:, :0], (), memory, additive(real[:, None], read.dtype))
        start = self.embed(rows + self.model.config.decoder_start_token_id)
        h0, context = self._decode(start, TokenTree.chain(rows[:, 0], 1), None, rows, begun)
        longer = ids.shape[1] - prompts.ids.shape[1]
        first = (~real).sum(dim=1)
        return Prompt(h0, rows, context, read, first, prompts.tips + longer, prompts.items)

    def _chains(self, prompts: Prompts) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """The tokens of each prompt, behind its user's where there is one, and which of them are no pads."""
        ids, width = prompts.ids, prompts.ids.shape[1]
        place = torch.arange(width, device=ids.device)
        real = place >= width - prompts.lengths[:, None]
        if not len(self.users):
            return ids, real
        who = prompts.users
        if who is None:
            who = torch.full_like(prompts.lengths, -1)
        ids, real = nn.functional.pad(ids, (1, 0)), nn.functional.pad(real, (1, 0))
        at = torch.arange(width + 1, device=ids.device) == width - prompts.lengths[:, None]
        token = self.users[who % len(self.users)]
        return torch.where(at, token[:, None], ids), real | (at & (who >= 0)[:, None])

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], DecoderContext]:
        """Read Q more tokens a row in the decoder (see the interface); without a prompt read, alone."""
        assert past is None or isinstance(past, DecoderContext)
        tree, seen, position = extend(past.tree if past else None, parent)
        return self._decode(inputs, tree, seen, position, past)

    def _decode(
        self,
        inputs: Float[Tensor, "B Q D"],
        tree: TokenTree,
        seen: Bool[Tensor, "B Q nodes"] | None,
        position: Int[Tensor, "B Q"],
        past: DecoderContext | None,
    ) -> tuple[Float[Tensor, "B Q D"], DecoderContext]:
        decoder = self.model.decoder
        positions = position if past is None else torch.cat([past.positions, position], dim=1)
        bias = self._bias(position, positions, seen)
        x, layers = decoder.dropout(inputs), []
        for number, block in enumerate(decoder.block):
            own, attention = block.layer[0], block.layer[0].SelfAttention
            normed = own.layer_norm(x)
            keys, values = _heads(attention, attention.k(normed)), _heads(attention, attention.v(normed))
            if past is not None and past.layers:
                keys, values = (
                    torch.cat(both, dim=2) for both in zip(past.layers[number], (keys, values), strict=True)
                )
            layers.append((keys, values))
            x = x + own.dropout(self._attend(attention, normed, (keys, values), bias))
            if past is not None and past.memory is not None:
                cross = block.layer[1]
                read = self._attend(
                    cross.EncDecAttention, cross.layer_norm(x), past.memory[number], past.unread
                )
                x = x + cross.dropout(read)
            x = block.layer[-1](x)
        states: Tensor = decoder.dropout(decoder.final_layer_norm(x))
        known = (None, None) if past is None else (past.memory, past.unread)
        return states, DecoderContext(tree, positions, tuple(layers), *known)

    def _bias(
        self,
        position: Int[Tensor, "B Q"],
        positions: Int[Tensor, "B P"],
        seen: Bool[Tensor, "B Q P"] | None,
    ) -> Float[Tensor, "B h Q P"]:
        """What is added to scores: T5's bias for the distance along the path, and the tree's mask."""
        first = self.model.decoder.block[0].layer[0].SelfAttention
        bucket = first._relative_position_bucket(
            positions[:, None] - position[..., None],
            bidirectional=False,
            num_buckets=first.relative_attention_num_buckets,
            max_distance=first.relative_attention_max_distance,
        )
        bias: Tensor = first.relative_attention_bias(bucket).permute(0, 3, 1, 2)
        if seen is None:
            seen = torch.ones_like(bucket, dtype=torch.bool).tril()
        return bias + additive(seen, bias.dtype)

    def _attend(
        self, attention: Any, x: Float[Tensor, "B Q D"], known: KeysValues, bias: Tensor | None
    ) -> Float[Tensor, "B Q D"]:
        """Attention of T5, whose scores are not scaled."""
        p = attention.dropout if self.training else 0.0
        query, (keys, values) = _heads(attention, attention.q(x)), known
        mask = None if bias is None else bias.to(query.dtype)
        mixed = scaled_dot_product_attention(query, keys, values, attn_mask=mask, dropout_p=p, scale=1.0)
        out: Tensor = attention.o(mixed.transpose(1, 2).flatten(2))
        return out

    def save(self, directory: Path) -> None:
        """Write model (safetensors) and tokenizer for `AutoModelForSeq2SeqLM` and `AutoTokenizer`."""
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)


def _heads(attention: Any, x: Float[Tensor, "B Q w"]) -> Float[Tensor, "B h Q d"]:
    return x.view(*x.shape[:2], attention.n_heads, -1).transpose(1, 2)


def _architecture(config: T5Config, tokenizer: Any) -> ArchitectureConfig:
    options: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "d_model": config.hidden_size,
        "d_kv": config.head_dim,
        "d_ff": config.intermediate_size,
        "num_layers": config.layers,
        "num_heads": config.heads,
        "dropout_rate": config.dropout,
        "initializer_factor": config.initializer_factor,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    return ArchitectureConfig(**options)


@torch.no_grad()
def _draw(model: Any, seed: int) -> None:
    """T5's initial weights: standard deviations by what a matrix reads (its section 3.1, Mesh TensorFlow)."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    width, inner = config.d_model, config.num_heads * config.d_kv
    stds = {
        "shared": 1.0,
        "q": (width * config.d_kv) ** -0.5,
        "o": inner**-0.5,
        "wo": config.d_ff**-0.5,
    }
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            weight.fill_(config.initializer_factor)
        else:
            std = stds.get(name.split(".")[-2], width**-0.5)
            weight.normal_(0.0, config.initializer_factor * std, generator=generator)


@torch.no_grad()
def _restore(model: Any, state: dict[str, Tensor], stored: int) -> None:
    """Weights of a checkpoint; tokens that it lacks keep their initial rows."""
    table = model.shared.weight.detach().clone()
    table[:stored] = state[TABLE]
    missing, unexpected = model.load_state_dict({**state, TABLE: table}, strict=False)
    tied = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
    assert tied.issuperset(missing), missing
    assert not unexpected, unexpected
