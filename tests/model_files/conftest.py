"""Folders of small saved models, to spoil."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SIZES = {"vocab_size": 259, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2}


def _tokenizer() -> PreTrainedTokenizerFast:
    """257 byte tokens and marks: two rows of the models below are spare."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({sign: n for n, sign in enumerate(["<end>", *alphabet])}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<end>")


def _causal(folder: Path, tied: bool = True) -> None:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}
    config = Qwen3Config(**SIZES, **heads, max_position_embeddings=4096, tie_word_embeddings=tied)
    Qwen3ForCausalLM(config).save_pretrained(folder)


def _encoder(folder: Path) -> None:
    BertModel(BertConfig(**SIZES, num_attention_heads=2, max_position_embeddings=64)).save_pretrained(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """`saved(reader, folder)` is a folder of its own with a sound model for that reader."""

    @cache
    def made(kind: str) -> Path:
        folder: Path = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            _encoder(folder) if kind == "encoder" else _causal(folder)
        _tokenizer().save_pretrained(folder)
        return folder

    def copy(reader: str, folder: Path) -> Path:
        kind = "encoder" if reader == "text encoder" else "causal"
        return Path(shutil.copytree(made(kind), folder / "m"))

    return copy
