"""Model folders in which something does not fit: one line that names file and tensor, whoever reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lasar_kit.errors import UserError
from tests.model_files.readers import read

READERS = ("backbone", "teacher", "text encoder")
PLACES = {
    "backbone": "backbone.pretrained: ",
    "teacher": "teacher hf: model: ",
    "text encoder": "text_encoder sentence_transformer: model: ",
}
NAMES = {"text encoder": {"model.layers.1.mlp.up_proj": "encoder.layer.1.intermediate.dense"}}
"""Names that the second model gives to a part of the first."""
UP = "model.layers.1.mlp.up_proj"
Saved = Callable[[str, Path], Path]


def refused(reader: str, folder: Path, said: str) -> None:
    """Reading ends in one line, which begins with the place in the spec and the folder."""
    with pytest.raises(UserError) as caught:
        read(reader, folder)
    (line,) = caught.value.lines
    assert line.startswith(f"{PLACES[reader]}{folder}"), line
    assert re.search(said, line), line


def called(reader: str, name: str) -> str:
    return NAMES.get(reader, {}).get(name, name)


def change(folder: Path, rename: Callable[[str], str] = str, **tensors: torch.Tensor | None) -> None:
    """Rename all tensors; put others in place, or take out those that are None."""
    path = folder / "model.safetensors"
    found = {rename(name): tensor for name, tensor in load_file(path).items()} | tensors
    save_file({name: tensor for name, tensor in found.items() if tensor is not None}, path, {"format": "pt"})


def configure(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("reader", READERS)
def test_a_sound_folder_is_read(saved: Saved, tmp_path: Path, reader: str) -> None:
    read(reader, saved(reader, tmp_path))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("prefix", "advice"), [("_orig_mod.", "compiled"), ("module.", "distributed"), ("x.", "")]
)
def test_names_that_a_wrapper_left(
    saved: Saved, tmp_path: Path, reader: str, prefix: str, advice: str
) -> None:
    folder = saved(reader, tmp_path)
    change(folder, rename=lambda name: prefix + name)
    hint = rf"; it has {re.escape(prefix)}\S+: save the model.* {advice}" if advice else r"$"
    refused(reader, folder, rf"model\.safetensors: lacks the tensor \S+ \(and \d+ more\).*{hint}")


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_tensor(saved: Saved, tmp_path: Path, reader: str) -> None:
    folder, name = saved(reader, tmp_path), called(reader, UP) + ".weight"
    change(folder, **{name: None})
    refused(reader, folder, rf"model\.safetensors: lacks the tensor {re.escape(name)}$")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_layer_more_or_less(saved: Saved, tmp_path: Path, reader: str, layers: int) -> None:
    folder = saved(reader, tmp_path)
    configure(folder, num_hidden_layers=layers, layer_types=["full_attention"] * layers)
    said = r"\.1\.\S+ has no place in the model" if layers == 1 else r"lacks the tensor \S+\.2\."
    refused(reader, folder, said)


@pytest.mark.parametrize("reader", READERS)
def test_a_tensor_beside_one_that_is_read(saved: Saved, tmp_path: Path, reader: str) -> None:
    """Such as a bias that the configuration says is none; heads of other tasks are no matter."""
    folder = saved(reader, tmp_path)
    change(folder, **{"score.weight": torch.ones(2, 8)})
    read(reader, folder)
    extra = called(reader, UP) + (".extra" if reader == "text encoder" else ".bias")
    change(folder, **{extra: torch.ones(16)})
    refused(reader, folder, rf"{re.escape(extra)} has no place in the model that config\.json describes")


@pytest.mark.parametrize("reader", READERS)
def test_shapes_that_differ(saved: Saved, tmp_path: Path, reader: str) -> None:
    folder = saved(reader, tmp_path)
    configure(folder, intermediate_size=24)
    refused(
        reader, folder, r"model\.safetensors: \S+ is (8 × 16|16 × 8|16), where config\.json asks for .*24"
    )


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer(saved: Saved, tmp_path: Path, reader: str, file: str) -> None:
    folder = saved(reader, tmp_path)
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    refused(reader, folder, rf"{re.escape(file)}: is a pointer of Git LFS.*git lfs pull")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_file_cut_off(saved: Saved, tmp_path: Path, reader: str, keep: int) -> None:
    folder = saved(reader, tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(reader, folder, r"model\.safetensors: is cut off, or no safetensors file")


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_shard(saved: Saved, tmp_path: Path, reader: str) -> None:
    folder = saved(reader, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
    table = {name: file for file, part in shards.items() for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    read(reader, folder)
    (folder / "b.safetensors").unlink()
    refused(reader, folder, r"index\.json: names b\.safetensors, which is not there")
    index.write_text("[]")
    refused(reader, folder, r"index\.json: expected an object, got list")
    index.write_text('{"weight_map": {"x": 1}}')
    refused(reader, folder, r"index\.json: has no weight_map of tensors to files")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes"])
def test_quantised_by_the_configuration(saved: Saved, tmp_path: Path, reader: str, method: str) -> None:
    folder = saved(reader, tmp_path)
    configure(folder, quantization_config={"quant_method": method})
    refused(reader, folder, rf"config\.json: quantised weights \({method}\) are not read")


@pytest.mark.parametrize("reader", READERS)
def test_quantised_by_its_tensors(saved: Saved, tmp_path: Path, reader: str) -> None:
    name = called(reader, UP)
    folder = saved(reader, tmp_path)
    weight = load_file(folder / "model.safetensors")[f"{name}.weight"]
    change(folder, **{f"{name}.weight": weight.to(torch.int8)})
    refused(reader, folder, rf"model\.safetensors: {re.escape(name)}\.weight: quantised weights")
    change(folder, **{f"{name}.weight": None, f"{name}.qweight": torch.ones(2, 2, dtype=torch.int32)})
    refused(reader, folder, rf"model\.safetensors: {re.escape(name)}\.qweight: quantised weights")


@pytest.mark.parametrize("reader", READERS)
def test_adapters_of_another_model(saved: Saved, tmp_path: Path, reader: str) -> None:
    """transformers would fetch the model that they name, wherever that is."""
    folder = saved(reader, tmp_path)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/model"}')
    refused(reader, folder, r"adapter_config\.json: these are adapters of another model")


@pytest.mark.parametrize("reader", READERS)
def test_no_tokenizer(saved: Saved, tmp_path: Path, reader: str) -> None:
    folder = saved(reader, tmp_path)
    (folder / "tokenizer.json").unlink()
    refused(reader, folder, r"holds no tokenizer \(tokenizer\.json\)")
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.other").write_text("")  # a file, but none that the class reads
    refused(reader, folder, r"knows no token; is one of .*tokenizer\.json.* missing|cannot be loaded")


@pytest.mark.parametrize("reader", READERS)
def test_a_tokenizer_larger_than_the_table(saved: Saved, tmp_path: Path, reader: str) -> None:
    from transformers import AutoTokenizer

    folder = saved(reader, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<x0>", "<x1>"])  # the two spare rows
    tokenizer.save_pretrained(folder)
    read(reader, folder)
    tokenizer.add_tokens(["<x2>"])
    tokenizer.save_pretrained(folder)
    refused(reader, folder, r"tokenizer\.json: the token '<x2>' has the id 259, and .* have 259 rows")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("gone", [("pad_token",), ("pad_token", "eos_token")])
def test_no_padding_token_is_needed(saved: Saved, tmp_path: Path, reader: str, gone: tuple[str, ...]) -> None:
    folder = saved(reader, tmp_path)
    with_padding = read(reader, folder)
    path = folder / "tokenizer_config.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in table.items() if key not in gone}))
    without = read(reader, folder)
    if reader == "text encoder":
        np.testing.assert_array_equal(with_padding, without)
    elif reader == "backbone":
        assert without.tokenizer.pad_token_id is not None


@pytest.mark.parametrize("reader", READERS[:2])
@pytest.mark.parametrize("same", [True, False])
def test_two_matrices_under_a_tied_flag(saved: Saved, tmp_path: Path, reader: str, same: bool) -> None:
    folder = saved(reader, tmp_path)
    table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    change(folder, **{"lm_head.weight": table.clone() if same else table + 1})
    if same:
        read(reader, folder)
    else:
        refused(reader, folder, r"lm_head\.weight and model\.embed_tokens\.weight are two matrices.*tie_word")


@pytest.mark.parametrize("reader", READERS[:2])
def test_one_matrix_under_an_untied_flag(saved: Saved, tmp_path: Path, reader: str) -> None:
    folder = saved(reader, tmp_path)
    configure(folder, tie_word_embeddings=False)
    refused(reader, folder, r"model\.safetensors: lacks the tensor lm_head\.weight$")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["{", "[]", "nonsense"])
def test_files_that_are_no_json(saved: Saved, tmp_path: Path, reader: str, file: str, text: str) -> None:
    folder = saved(reader, tmp_path)
    (folder / file).write_text(text)
    refused(reader, folder, r"config\.json|cannot be loaded")
