"""A saved backbone means the same to transformers 4 and 5."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from lasar_kit.core.exported import for_both_versions
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import sid_tokens
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config

SIZES = {"use": "qwen3", "hidden_size": 32, "layers": 2, "heads": 2, "text_vocabulary": 280}
TEXT = "dry shampoo <a_1><b_2> and soap"
YARN = {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0, "original_max_position_embeddings": 512}
OTHER = "LASAR_TRANSFORMERS_4"
"""Names the Python of an environment with `transformers<5`; the tests that need one are skipped without."""

READ = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer(sys.argv[2])["input_ids"]
logits = model.eval()(torch.tensor([ids])).logits[0].tolist()
print(json.dumps([transformers.__version__, ids, logits, tokenizer.decode(ids), tokenizer.padding_side]))
"""


def saved(folder: Path, rotary: dict[str, Any] | None = None) -> tuple[Qwen3Backbone, Path]:
    """A backbone and its folder: from scratch or, with `rotary`, a pretrained model of these positions."""
    env = Env(seed=1, vocabulary=tuple(sid_tokens((4, 4))), corpus=lambda: [TEXT] * 3)
    backbone = Qwen3Backbone(Qwen3Config(**SIZES, rope_theta=5e5, initializer_std=0.3), env)
    backbone.save(folder / "one")
    if rotary is not None:
        config = json.loads((folder / "one" / "config.json").read_text())
        for name in ("rope_theta", "rope_scaling"):
            config.pop(name, None)
        (folder / "one" / "config.json").write_text(json.dumps(config | {"rope_parameters": rotary}))
        backbone = Qwen3Backbone(Qwen3Config(use="qwen3", pretrained=str(folder / "one")), env)
        backbone.save(folder / "two")
    return backbone.eval(), folder / ("one" if rotary is None else "two")


def logits(backbone: Qwen3Backbone, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = backbone.model(torch.tensor([ids])).logits[0]
    return found


@pytest.mark.parametrize("rotary", [None, YARN], ids=["default", "yarn"])
def test_the_names_of_both_versions_stand_side_by_side(tmp_path: Path, rotary: dict[str, Any] | None) -> None:
    backbone, folder = saved(tmp_path, rotary)
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 5e5
    scaling = {name: value for name, value in (rotary or {}).items() if name != "rope_theta"}
    assert config.get("rope_scaling", {}) == scaling
    assert config["torch_dtype"] == config["dtype"] == "float32"
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    ids = AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"]
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert again.config.rope_parameters == backbone.model.config.rope_parameters
    torch.testing.assert_close(again(torch.tensor([ids])).logits[0], logits(backbone, ids))
    before = (folder / "config.json").read_bytes()
    for_both_versions(folder)  # what it has written is read again, and stays
    assert (folder / "config.json").read_bytes() == before


def test_positions_that_differ_by_layer_stay_as_they_are(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config = {name: value for name, value in config.items() if name != "rope_theta"}
    config["rope_parameters"] = {
        "full_attention": {"rope_theta": 1e6},
        "sliding_attention": {"rope_theta": 1e4},
    }
    (folder / "config.json").write_text(json.dumps(config))
    for_both_versions(folder)
    assert json.loads((folder / "config.json").read_text()) == config


def test_special_tokens_are_a_list_of_either_name(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"extra_special_tokens": ["<a_1>"]}))
    for_both_versions(folder)
    table = json.loads(file.read_text())
    assert table["additional_special_tokens"] == ["<a_1>"]
    assert "extra_special_tokens" not in table
    assert "<a_1>" in AutoTokenizer.from_pretrained(folder).all_special_tokens
    assert AutoConfig.from_pretrained(folder).model_type == "qwen3"


@pytest.mark.skipif(OTHER not in os.environ, reason=f"{OTHER} names no Python with transformers 4")
@pytest.mark.parametrize("rotary", [None, YARN], ids=["default", "yarn"])
def test_transformers_4_reads_the_same(tmp_path: Path, rotary: dict[str, Any] | None) -> None:
    backbone, folder = saved(tmp_path, rotary)
    done = subprocess.run(
        [os.environ[OTHER], "-c", READ, str(folder), TEXT], capture_output=True, text=True, check=True
    )
    version, ids, found, text, side = json.loads(done.stdout.splitlines()[-1])
    assert version.startswith("4.")
    assert ids == backbone.tokenizer(TEXT)["input_ids"]
    assert (text, side) == (TEXT, "left")
    torch.testing.assert_close(torch.tensor(found), logits(backbone, ids), atol=1e-5, rtol=1e-5)
