"""Weights and tokenizer of a causal language model: loaded, and grown by new tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from lasar_kit.core.causal_model import ModelSource, find_model, load_config, load_model, parsed_once
from lasar_kit.errors import UserError
from lasar_plugins.backbone.hf_causal.architecture import TESTED, Architecture, admit
from lasar_plugins.backbone.hf_causal.attention import GROUPED_SDPA
from lasar_plugins.backbone.hf_causal.config import CausalOptions

OPTION = "backbone.pretrained"
"""The beginning of messages about a model."""

ATTENTION = {"sdpa": GROUPED_SDPA, "eager": "eager"}
"""Names in transformers of the attention implementations of the config."""

NEW_ROW_NOISE = 0.1
"""Noise on a pretrained model's new embedding rows, as a share of the spread of its old ones."""


def load(
    checkpoint: Path | None, config: CausalOptions, only: tuple[str, ...] | None = None
) -> tuple[Any, PreTrainedTokenizerBase, Architecture]:
    """Model, tokenizer and architecture of a checkpoint, or else of `config.pretrained`.

    `only` names the architectures that are let in, all that can be read if None. `UserError` where there is
    no model to be had, or one that is not let in.
    """
    source = _source(checkpoint, config)
    with parsed_once(source):
        loaded = load_config(source, OPTION)
        architecture = admit(loaded, f"{OPTION}: {source}", only)
        model, tokenizer = load_model(
            source,
            OPTION,
            dtype=getattr(torch, config.dtype),
            attn_implementation=_attention(architecture, config.attention),
            **_dropout(loaded, config.attention_dropout),
        )
    return model, tokenizer, architecture


def _source(checkpoint: Path | None, config: CausalOptions) -> ModelSource:
    """Where the model lies."""
    if checkpoint is not None:  # a folder that `save` wrote, of which there is but one version
        return ModelSource(str(checkpoint))
    assert config.pretrained is not None
    return find_model(config.pretrained, OPTION, config.revision, config.gguf_file)


def _attention(architecture: Architecture, wanted: str) -> str:
    """The attention implementation: what was asked for, if the model has it."""
    if architecture.name in TESTED:
        return "eager" if architecture.capped else ATTENTION[wanted]
    kind: Any = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[architecture.name])
    return "sdpa" if wanted == "sdpa" and kind._supports_sdpa and not architecture.capped else "eager"


def _dropout(config: Any, rate: float) -> dict[str, float]:
    """The dropout of attention weights, of models that have it under its usual name."""
    if hasattr(config, "attention_dropout"):
        return {"attention_dropout": rate}
    if rate:
        raise UserError(f"backbone.attention_dropout: a {config.model_type!r} model has none to set")
    return {}


def add_rows(model: Any, ids: list[int], size: int, std: float | None, seed: int) -> None:
    """Make room for `size` tokens and initialise the embeddings of `ids`, which are new.

    With `std` they are normal around 0, as in a model from scratch; without, the mean of the old rows plus
    noise of a tenth of their spread, so that new tokens start as unremarkable ones. An output bias starts at
    its mean.
    """
    if not ids:
        return
    if size > len(_tables(model)[0]):
        with torch.random.fork_rng(devices=[]):
            model.resize_token_embeddings(size, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    for table in _tables(model):
        fresh = torch.zeros(len(table), dtype=torch.bool)
        fresh[ids] = True
        old = table[~fresh].float()
        noise = torch.randn(len(ids), table.shape[1], generator=generator)
        rows = old.mean(dim=0) + NEW_ROW_NOISE * old.std() * noise if std is None else std * noise
        with torch.no_grad():
            table[ids] = rows.to(table.dtype)
    if (bias := getattr(model.get_output_embeddings(), "bias", None)) is not None:
        with torch.no_grad():
            bias[ids] = bias[~fresh].float().mean().to(bias.dtype)


def _tables(model: Any) -> list[torch.nn.Parameter]:
    """Input and output embeddings, once if they are tied."""
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    return tables[:1] if tables[0] is tables[1] else tables
