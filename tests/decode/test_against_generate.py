"""The trie beam search against transformers' `generate` under a constraining processor."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env, LatentTrace, SidTable
from lasar_kit.core.vocabulary import sid_tokens
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam

CODES, BEAMS = 16, 50


class OnlyItems(LogitsProcessor):
    """Keeps, row by row, the scores of tokens that continue to an item."""

    def __init__(self, table: Tensor, prompt: int) -> None:
        self.table, self.prompt = table, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        masked = torch.full_like(scores, -torch.inf)
        for row, answer in enumerate(input_ids[:, self.prompt :]):
            level = len(answer)
            token = self.table[(self.table[:, :level] == answer).all(dim=1), level]
            masked[row, token] = scores[row, token]
        return masked


@pytest.mark.parametrize("score", ["vocabulary", "trie"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_sequences_and_scores_are_those_of_generate(
    score: Literal["vocabulary", "trie"], attention: str
) -> None:
    config = Qwen3Config(
        use="qwen3",
        hidden_size=32,
        layers=2,
        heads=4,
        kv_heads=2,
        text_vocabulary=259,
        initializer_std=0.3,  # enough for scores well apart
        attention=attention,
    )
    env = Env(seed=1, vocabulary=tuple(sid_tokens((CODES,) * 3)))
    backbone = Qwen3Backbone(config, env).eval()
    generator = torch.Generator().manual_seed(0)
    codes = torch.unique(torch.randint(0, CODES, (400, 3), generator=generator), dim=0)
    codes = codes[torch.randperm(len(codes), generator=generator)]
    table = codes + backbone.tokenizer.convert_tokens_to_ids("<a_0>") + CODES * torch.arange(3)
    ids, real = torch.randint(3, 259, (3, 9), generator=generator), torch.ones(3, 9, dtype=torch.bool)
    real[1, :4] = False

    decoder = TrieBeam(TrieBeamConfig(use="trie_beam", score=score), env)
    decoder.bind(SidTable(table))
    with torch.no_grad():
        hidden, context = backbone.advance(backbone.embed(ids), chain_parents(real), None)
    none = torch.zeros(3, 1, 0, dtype=torch.bool)
    trace = LatentTrace(hidden.new_zeros(3, 1, 0, 32), none, hidden[:, -1:], torch.full((3, 1), 8), context)
    beams = decoder.search(backbone, trace, BEAMS)

    expected = backbone.model.generate(
        input_ids=ids,
        attention_mask=real.long(),
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        max_new_tokens=3,
        min_new_tokens=3,
        do_sample=False,
        length_penalty=0.0,
        eos_token_id=None,
        pad_token_id=0,
        renormalize_logits=score == "trie",
        logits_processor=LogitsProcessorList([OnlyItems(table, ids.shape[1])]),
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert torch.equal(table[beams.items[:, 0]], expected.sequences[:, 9:].view(3, BEAMS, 3))
    torch.testing.assert_close(beams.logp[:, 0], expected.sequences_scores.view(3, BEAMS), atol=1e-4, rtol=0)
