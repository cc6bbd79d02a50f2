"""Tiny models of the architectures that `hf_causal` lets in, with random weights and a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MIXED = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0, 1.5],
    "long_factor": [2.0, 5.0],
}
MODELS: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.25},
    "cohere2": {"logit_scale": 0.25, "head_dim": 4, **MIXED},
    "gemma": {"head_dim": 8},
    "gemma2": {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
        **MIXED,
    },
    "gemma3_text": {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "rope_parameters": {"full_attention": {**ROPE, "rope_theta": 1e6}, "sliding_attention": ROPE},
        **MIXED,
    },
    "gpt2": {"n_inner": 24, "num_key_value_heads": None},
    "gpt_neox": {"num_key_value_heads": None, "tie_word_embeddings": False},
    "granite": {
        "logits_scaling": 3.0,
        "embedding_multiplier": 2.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.3,
    },
    "llama": {"tie_word_embeddings": False},
    "ministral": {"head_dim": 4, **MIXED},
    "mistral": {"sliding_window": 3, "tie_word_embeddings": False},
    "olmo2": {"tie_word_embeddings": False},
    "olmo3": MIXED,
    "phi": {"tie_word_embeddings": False},
    "phi3": {"sliding_window": 3, "rope_parameters": LONG_ROPE, "original_max_position_embeddings": 24},
    "qwen2": {"use_sliding_window": True, "tie_word_embeddings": True, **MIXED},
    "qwen3": {"head_dim": 4, "use_sliding_window": True, **MIXED},
    "smollm3": {"no_rope_layers": [1, 0], "tie_word_embeddings": True},
    "stablelm": {"partial_rotary_factor": 0.5, "tie_word_embeddings": False},
    "starcoder2": {"sliding_window": 3},
}
"""Options that make each itself, small, with nothing left out: windows, scales, caps, biases."""


def make(folder: Path, name: str, **options: Any) -> Path:
    """Write one into a folder of its own."""
    given = {**SIZES, **MODELS.get(name, {}), **options}
    config = AutoConfig.for_model(name, vocab_size=300, **{k: v for k, v in given.items() if v is not None})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model: Any = AutoModelForCausalLM.from_config(config)
        for weight in model.parameters():  # norms and biases too, or a forgotten one would not be seen
            torch.nn.init.normal_(weight, float(weight.detach().mean()), 0.3)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """Every byte is a token, behind three special ones."""
    special = ["<pad>", "<bos>", "<eos>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = {token: index for index, token in enumerate([*special, *alphabet])}
    backend = Tokenizer(models.BPE(known, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{**names, **options})
