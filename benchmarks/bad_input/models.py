"""Folders of saved models in which something is wrong: weights, configuration, tokenizer."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from safetensors.torch import load, save
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers import models as tokenizers_models
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from bad_input.files import bytes_changed
from bad_input.harness import OUTPUT, Case, Files, spec_file
from bad_input.whole import SMALL

Expect = Literal["refused", "accepted", "either"]
Fault = Callable[[st.DrawFn, Files], tuple[Expect, tuple[str, ...]]]
"""Spoils a folder's files; what must come of it, and what must be named."""

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
SIZES = {"vocab_size": 260, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2}


def _saved(model: Any) -> Files:
    """A model and a tokenizer of bytes, as transformers saves them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = ["<pad>", "<end>", "<start>"]
    inner = Tokenizer(tokenizers_models.BPE({sign: n for n, sign in enumerate([*marks, *alphabet])}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if isinstance(model, BertModel):
        inner.post_processor = processors.BertProcessing(("<end>", 1), ("<start>", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", bos_token="<start>"
    )
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@cache
def causal() -> Files:
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}
    config = Qwen3Config(
        **SIZES, **heads, max_position_embeddings=4096, tie_word_embeddings=True, pad_token_id=0
    )
    return _saved(Qwen3ForCausalLM(config))


@cache
def encoder() -> Files:
    torch.manual_seed(0)
    files = _saved(BertModel(BertConfig(**SIZES, num_attention_heads=2, max_position_embeddings=512)))
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])
    ]
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    return {
        **files,
        "modules.json": json.dumps(modules).encode(),
        "1_Pooling/config.json": json.dumps(pooling).encode(),
    }


def _spec(reader: str) -> dict[str, Any]:
    """A small run that reads the folder `m` as backbone, as teacher or as text encoder."""
    spec = copy.deepcopy(SMALL)
    kept = {"backbone": ("tokenize", "ground"), "teacher hf": ("tokenize", "ground", "anchors")}
    spec["stages"] = {name: spec["stages"][name] for name in kept.get(reader, ("tokenize",))}
    if reader == "backbone":
        spec["backbone"] = {"use": "qwen3", "pretrained": "./m"}
    elif reader == "teacher hf":
        spec["stages"]["anchors"] |= {
            "teacher": {"use": "hf", "model": "./m", "max_new_tokens": 4},
            "max_samples": 3,
        }
    else:
        spec["stages"]["tokenize"]["text_encoder"] = {"use": "sentence_transformer", "model": "./m"}
    return spec


READERS = ("backbone", "teacher hf", "text encoder")


@st.composite
def wrong_models(draw: st.DrawFn, label: str) -> Case:
    """A model folder with one fault, read by one of the three that read such folders."""
    reader = draw(st.sampled_from(ONLY.get(label, READERS)))
    files = dict(encoder() if reader == "text encoder" else causal())
    expect, names = FAULTS[label](draw, files)
    if reader == "teacher hf" and expect == "accepted":
        expect = "either"  # random weights may well write nothing
    given = {f"m/{name}": data for name, data in files.items()}
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    return Case(
        reader, f"model: {label}", arguments, {**given, "s.yaml": spec_file(_spec(reader))}, expect, names
    )


def _pointer(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    name = draw(st.sampled_from([WEIGHTS, WEIGHTS, TOKENIZER, CONFIG]))
    files[name] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize %d\n" % len(files[name])
    return "refused", (name, "Git LFS")


def _cut_off(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    files[WEIGHTS] = files[WEIGHTS][: draw(st.integers(0, len(files[WEIGHTS]) - 1))]
    return "refused", (WEIGHTS,)


def _wrapper_names(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    prefix = draw(st.sampled_from(["_orig_mod.", "module.", "base_model.model.", "x."]))
    files[WEIGHTS] = _weights({prefix + name: tensor for name, tensor in load(files[WEIGHTS]).items()})
    return "refused", (WEIGHTS, "lacks the tensor", "" if prefix == "x." else prefix)


def _tensors_missing(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    tensors = load(files[WEIGHTS])
    names = sorted(name for name in tensors if not name.startswith("pooler."))
    gone = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    files[WEIGHTS] = _weights({name: tensor for name, tensor in tensors.items() if name not in gone})
    return "refused", (WEIGHTS, min(gone) if "model.embed_tokens.weight" not in gone else "lacks the tensor")


def _layers(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    count = draw(st.sampled_from([1, 3, 5]))
    changes: dict[str, Any] = {"num_hidden_layers": count, "layer_types": ["full_attention"] * count}
    files[CONFIG] = json.dumps(json.loads(files[CONFIG]) | changes).encode()
    return "refused", (WEIGHTS, ".1." if count == 1 else ".2.")


def _shapes(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    if draw(st.booleans()):
        key = draw(st.sampled_from(["vocab_size", "hidden_size", "intermediate_size"]))
        sizes = {key: draw(st.sampled_from([2, SIZES[key] * 2, 4096]))}
        files[CONFIG] = json.dumps(json.loads(files[CONFIG]) | sizes).encode()
        return "refused", ()
    tensors = load(files[WEIGHTS])
    name = draw(st.sampled_from(sorted(name for name in tensors if not name.startswith("pooler."))))
    tensors[name] = draw(
        st.sampled_from([tensors[name][:-1], torch.cat([tensors[name]] * 2), tensors[name][None]])
    )
    files[WEIGHTS] = _weights(tensors)
    return "refused", (WEIGHTS, name)


def _two_matrices(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    tensors = load(files[WEIGHTS])
    same = draw(st.booleans())
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + (0 if same else 1)
    files[WEIGHTS] = _weights(tensors)
    return ("accepted", ()) if same else ("refused", (WEIGHTS, "lm_head.weight", "tie_word_embeddings"))


def _quantised(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    if draw(st.booleans()):
        method = draw(st.sampled_from(["awq", "gptq", "bitsandbytes", "fp8", "mxfp4", "no such thing"]))
        config = json.loads(files[CONFIG]) | {"quantization_config": {"quant_method": method}}
        files[CONFIG] = json.dumps(config).encode()
        return "refused", (CONFIG, method)
    tensors = load(files[WEIGHTS])
    maps = sorted(name for name, tensor in tensors.items() if "layer" in name and tensor.ndim > 1)
    name = draw(st.sampled_from(maps))
    if draw(st.booleans()):
        tensors[name] = tensors[name].to(torch.int8)
    else:
        name = name.replace(".weight", draw(st.sampled_from([".qweight", ".SCB", ".weight_scale"])))
        tensors[name] = torch.zeros(2, 2)
    files[WEIGHTS] = _weights(tensors)
    return "refused", (WEIGHTS, name, "quantised")


def _damaged(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    name = draw(st.sampled_from(sorted(files)))
    label = draw(st.sampled_from(["damaged", "truncated", "empty", "not UTF-8"]))
    files[name], _ = bytes_changed(draw, files[name], label)
    return "either", ()


def _missing(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    name = draw(st.sampled_from([WEIGHTS, CONFIG]))
    del files[name]
    return "refused", ()


_ODD: list[Any] = [None, -1, 0, 1, 3, 2.5, True, "x", "", [], [1], {}, {"a": 1}, "\ud800", 10**30, 1e400]


def _odd_values(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    name = draw(st.sampled_from([n for n in sorted(files) if n.endswith("config.json")]))
    table = json.loads(files[name])
    for key in draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=2, unique=True)):
        table[key] = draw(st.sampled_from(_ODD))
    files[name] = json.dumps(table).encode()
    return "either", ()


def _no_tokenizer(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    del files[TOKENIZER]
    if draw(st.booleans()):
        del files["tokenizer_config.json"]
    return "refused", (TOKENIZER,)


def _larger_tokenizer(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    tokenizer = Tokenizer.from_str(files[TOKENIZER].decode())
    count = draw(st.integers(2, 20))
    tokenizer.add_tokens([f"<more_{n}>" for n in range(count)])
    files[TOKENIZER] = tokenizer.to_str().encode()
    return "refused", (TOKENIZER, f"<more_{count - 1}>", "260 rows")


def _no_padding(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    table = json.loads(files["tokenizer_config.json"])
    for key in draw(st.sampled_from([("pad_token",), ("pad_token", "eos_token")])):
        table.pop(key)
    files["tokenizer_config.json"] = json.dumps(table).encode()
    return "accepted", ()


_TEMPLATES = [
    "{% if %}",
    "{{ messages[9].content }}",
    "{{ raise_exception('no system role') }}",
    "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}{{ messages[0].content }}",
    "",
    "{{ 1 / 0 }}",
    "{% for n in range(10) %}{{ messages[0].content }}{% endfor %}",
    "{{ messages[1].content }}<think>\n",
]


def _chat_templates(draw: st.DrawFn, files: Files) -> tuple[Expect, tuple[str, ...]]:
    files["chat_template.jinja"] = draw(st.sampled_from(_TEMPLATES)).encode()
    return "either", ()


def _weights(tensors: dict[str, torch.Tensor]) -> bytes:
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, {"format": "pt"})


FAULTS: dict[str, Fault] = {
    "a pointer": _pointer,
    "cut off": _cut_off,
    "a wrapper's names": _wrapper_names,
    "tensors left out": _tensors_missing,
    "more or fewer layers": _layers,
    "shapes": _shapes,
    "two matrices for one": _two_matrices,
    "quantised": _quantised,
    "files damaged": _damaged,
    "files left out": _missing,
    "odd values": _odd_values,
    "no tokenizer": _no_tokenizer,
    "a larger tokenizer": _larger_tokenizer,
    "no padding token": _no_padding,
    "chat templates": _chat_templates,
}
ONLY = {"two matrices for one": ("backbone", "teacher hf"), "chat templates": ("teacher hf",)}
"""Who reads what some faults are in; all three the others."""
