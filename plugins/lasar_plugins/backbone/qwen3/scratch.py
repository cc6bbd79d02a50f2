"""A Qwen3 from scratch: a byte-level BPE tokenizer trained on the spot, and initial weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, Qwen3ForCausalLM
from transformers import Qwen3Config as ArchitectureConfig

from lasar_plugins.backbone.hf_causal.weights import ATTENTION
from lasar_plugins.backbone.qwen3.config import SPECIAL_TOKENS, Qwen3Config


def train_tokenizer(corpus: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `size` tokens; with no text, the 256 bytes and the special tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    bpe.train_from_iterator(corpus, trainer)
    pad, bos, eos = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        padding_side="left",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


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
