"""Tokenizers of pretrained models: those that begin every text with BOS, and those without a pad token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from lasar_kit.core.values import Env, SidTable
from lasar_kit.core.vocabulary import sid_tokens
from lasar_kit.errors import UserError
from lasar_kit.model.prompts import PromptBuilder
from lasar_plugins.backbone.hf_causal.backbone import HfCausalBackbone
from lasar_plugins.backbone.hf_causal.config import HfCausalConfig
from lasar_plugins.prompt.standard.config import MiniOneRecConfig, SidOnlyConfig
from lasar_plugins.prompt.standard.templates import MiniOneRecPrompt, SidOnlyPrompt
from tests.backbone.tiny_models import make, tokenizer

SIDS = tuple(sid_tokens((4,)))
TEXT = MiniOneRecPrompt(MiniOneRecConfig(use="minionerec"), Env())
BARE = SidOnlyPrompt(SidOnlyConfig(use="sid_only"), Env())


def begun_with_bos() -> PreTrainedTokenizerBase:
    """As of Llama 3 and Gemma."""
    made = tokenizer()
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return made


def load(folder: Path, kind: PreTrainedTokenizerBase) -> HfCausalBackbone:
    make(folder, "llama")
    kind.save_pretrained(folder)
    config = HfCausalConfig(use="hf_causal", pretrained=str(folder))
    return HfCausalBackbone(config, Env(vocabulary=SIDS)).eval()


@pytest.mark.parametrize(
    ("kind", "template", "first"),
    [
        (tokenizer, TEXT, "B"),
        (tokenizer, BARE, "<bos>"),
        (begun_with_bos, TEXT, "<bos>"),
        (begun_with_bos, BARE, "<bos>"),
    ],
)
def test_a_prompt_begins_as_the_tokenizer_begins_texts(
    tmp_path: Path, kind: object, template: object, first: str
) -> None:
    found = load(tmp_path, kind()).tokenizer  # type: ignore[operator]
    table = SidTable(torch.tensor([[found.convert_tokens_to_ids(token)] for token in SIDS]))
    prompts = PromptBuilder(template, found, table, 5).prompts([np.array([2, 0])])  # type: ignore[arg-type]
    ids = found.convert_ids_to_tokens(prompts.ids[0].tolist())
    assert ids[0] == first
    assert ids.count("<bos>") == (first == "<bos>")
    assert [token for token in ids if token in SIDS] == ["<a_2>", "<a_0>"]


def test_a_tokenizer_without_a_pad_token_pads_with_its_end(tmp_path: Path) -> None:
    found = load(tmp_path / "one", tokenizer(pad_token=None)).tokenizer
    assert (found.pad_token, found.pad_token_id) == ("<eos>", 2)


def test_a_tokenizer_without_begin_and_end_begins_no_prompt(tmp_path: Path) -> None:
    found = load(tmp_path, tokenizer(bos_token=None, eos_token=None)).tokenizer
    table = SidTable(torch.tensor([[found.convert_tokens_to_ids(token)] for token in SIDS]))
    prompts = PromptBuilder(TEXT, found, table, 5).prompts([np.array([2, 0])])
    assert found.convert_ids_to_tokens(prompts.ids[0, :1].tolist()) == ["B"]
    with pytest.raises(UserError, match=r"^prompt bare begins with a start token, .* neither BOS nor EOS"):
        PromptBuilder(BARE, found, table, 5, "bare")
