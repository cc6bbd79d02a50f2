"""Qwen3 read through the token tree: from scratch or pretrained, and with a faster way to read few tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lasar_kit.core.token_tree import additive
from lasar_kit.core.values import Context, Env
from lasar_plugins.backbone.hf_causal.architecture import Architecture, admit
from lasar_plugins.backbone.hf_causal.backbone import HfCausalBackbone, TreeContext
from lasar_plugins.backbone.hf_causal.config import CausalOptions
from lasar_plugins.backbone.hf_causal.room import Room
from lasar_plugins.backbone.hf_causal.tokenizer import add_vocabulary
from lasar_plugins.backbone.hf_causal.weights import OPTION
from lasar_plugins.backbone.qwen3 import residual
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.backbone.qwen3.norm import fuse_norms
from lasar_plugins.backbone.qwen3.scratch import from_scratch, train_tokenizer
from lasar_plugins.backbone.qwen3.step import Weights, applies, step

__all__ = ["Qwen3Backbone", "TreeContext"]


@dataclass(frozen=True)
class StepContext(TreeContext):
    """A context that `step` has read the last tokens of, by these weights."""

    weights: Weights = field(kw_only=True)


class Qwen3Backbone(HfCausalBackbone):
    """`HfCausalBackbone` for Qwen3 alone.

    Without a checkpoint and without `config.pretrained` a model is initialised by `env.seed`, with a
    tokenizer trained on `env.corpus()`.
    """

    only = ("qwen3",)

    def __init__(self, config: Qwen3Config, env: Env) -> None:
        super().__init__(config, env)
        fuse_norms(self.model)
        if config.residual_dropout:
            residual.drop_out(self.model.base_model, config.residual_dropout)

    def _loaded(self, config: CausalOptions, env: Env) -> tuple[Any, PreTrainedTokenizerBase, Architecture]:
        assert isinstance(config, Qwen3Config)
        if config.pretrained is not None or env.checkpoint is not None:
            return super()._loaded(config, env)
        tokenizer = train_tokenizer(env.corpus(), config.text_vocabulary, config.max_positions)
        add_vocabulary(tokenizer, env.vocabulary)
        model = from_scratch(config, tokenizer, env.seed)
        return model, tokenizer, admit(model.config, OPTION)

    def _initial_std(self, config: CausalOptions) -> float | None:
        assert isinstance(config, Qwen3Config)
        return None if config.pretrained else config.initializer_std

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], TreeContext]:
        """Read Q more tokens a row (see the interface); behind a context, without gradients, by `step`."""
        assert past is None or isinstance(past, TreeContext)
        if past is None or self.architecture.window is not None or not applies(self.model, inputs):
            return super().advance(inputs, parent, past)
        reading = self._place(parent, past)
        assert reading.seen is not None
        room = Room.for_more(past.room, past.layers, parent.shape[1])
        fresh, layers = room.take(parent.shape[1])
        mask, read = room.even(additive(reading.seen, inputs.dtype), layers)
        weights = past.weights if isinstance(past, StepContext) else Weights.of(self.model.model)
        hidden = step(self.model.model, weights, inputs, mask, reading.position, fresh, read)
        return hidden, StepContext(reading.tree, layers, room, weights=weights)
