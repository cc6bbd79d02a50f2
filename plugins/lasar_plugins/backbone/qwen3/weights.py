"""Weights of the Qwen3 backbone: initialised, loaded, and grown by new tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, PreTrainedTokenizerBase, Qwen3ForCausalLM
from transformers import Qwen3Config as ArchitectureConfig

from lasar_kit.core.model_files import ModelFiles
from lasar_kit.errors import UserError
from lasar_plugins.backbone.qwen3.attention import GROUPED_SDPA
from lasar_plugins.backbone.qwen3.config import Qwen3Config

ATTENTION = {"sdpa": GROUPED_SDPA, "eager": "eager"}
"""What transformers calls the attention implementations of the config."""

NEW_ROW_NOISE = 0.1
"""Noise on a pretrained model's new embedding rows, as a share of the spread of its old ones."""


def from_scratch(config: Qwen3Config, tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen3ForCausalLM:
    """A model with normal weights of `initializer_std` and unit norms, by its own generator."""
    options: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size or 3 * config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads or config.heads,
        "head_dim": config.head_width,
        "max_position_embeddings": config.max_positions,
        "initializer_range": config.initializer_std,
        "tie_word_embeddings": config.tied_embeddings,
        "attention_dropout": config.attention_dropout,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "attn_implementation": ATTENTION[config.attention],
    }
    with torch.random.fork_rng(devices=[]):  # constructing draws from the global generator
        model: Any = Qwen3ForCausalLM(ArchitectureConfig(**options))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, config.initializer_std, generator=generator)
            else:
                weight.fill_(1.0)
    model.to(getattr(torch, config.dtype))
    return cast(Qwen3ForCausalLM, model)


def load(source: str | Path, config: Qwen3Config) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase]:
    """Model and tokenizer of a directory or hub id; `UserError` where there is no Qwen3 model to be had."""
    name = str(source)
    # A checkpoint is a folder, of which there is but one version.
    revision = config.revision or "main" if name == config.pretrained else "main"
    files = ModelFiles("backbone.pretrained", name, revision)
    files.check()
    with files.reading():
        found = AutoConfig.from_pretrained(name, revision=revision)
    if found.model_type != "qwen3":
        raise UserError(f"backbone.pretrained: {name} must be a qwen3 model (got {found.model_type!r})")
    if other := sorted(set(found.layer_types) - {"full_attention"}):
        # A mask of a token tree says all that a token sees; a window would be left out of it.
        raise UserError(
            f"backbone.pretrained: {name} must attend to the whole sequence in every layer (layer_types: "
            f"full_attention; got {', '.join(other)})"
        )
    return files.load(
        Qwen3ForCausalLM,
        dtype=getattr(torch, config.dtype),
        attn_implementation=ATTENTION[config.attention],
        attention_dropout=config.attention_dropout,
    )


def add_rows(model: Qwen3ForCausalLM, ids: list[int], size: int, std: float | None, seed: int) -> None:
    """Make room for `size` tokens and initialise the embeddings of `ids`, which are new.

    With `std` they are normal around 0, as in a model from scratch; without, the mean of the old rows plus
    noise of a tenth of their spread, so that new tokens start as unremarkable ones.
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


def _tables(model: Any) -> list[torch.nn.Parameter]:
    """Input and output embeddings, once if they are tied."""
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    return tables[:1] if tables[0] is tables[1] else tables
