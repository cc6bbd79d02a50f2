"""Soft tokens of an assistant, against whole forwards; its weights stay, and are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.chains import read_chains
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.values import Env, Prompt, SidTable
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from tests.closeness import assert_same, in_float64

Make = Callable[..., Any]
CATALOGUE = Catalogue.discover()
TABLE = SidTable(torch.tensor([[260, 264], [261, 265], [262, 266], [263, 264]]))
SHOWN = torch.tensor([[[2, 0, -1], [2, 0, 1], [-1, -1, -1]], [[3, -1, -1], [3, 3, -1], [3, 3, 0]]])
"""Items that the prompts of each row show: the beginnings of one history each."""


def forward(backbone: Any, sequence: Tensor) -> Tensor:
    states: Tensor = backbone.model.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state
    return states[0]


def loop(frozen: Any, start: bool = False) -> Any:
    config = CATALOGUE.config_class("latent_loop", "softcot").model_validate(
        {"use": "softcot", "start": start}
    )
    env = Env(seed=2, hidden_size=16, table=TABLE, frozen=lambda: frozen)
    made = CATALOGUE.build("latent_loop", config, env).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in made.projection.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return made


@pytest.mark.parametrize("start", [False, True])
@torch.no_grad()
def test_soft_tokens_are_the_assistants_states_projected(double: Make, fresh: Make, start: bool) -> None:
    """It reads the history and `<|lat_t|>` for each soft token; here it is another model."""
    backbone, other = double(), in_float64(fresh(initializer_std=0.2))
    made = loop(other, start)
    table, theirs = (one.model.get_input_embeddings().weight for one in (backbone, other))
    slot = other.tokenizer.get_vocab()["<|lat_t|>"]
    depth = torch.tensor([[2, 0, 1], [1, 3, 2]])
    chain, lengths = torch.tensor([[7, 7, 260, 261, 262], [261, 260, 262, 263, 260]]), torch.tensor([3, 5])
    states, context = read_chains(backbone, chain, lengths)
    tip = torch.tensor([[2, 4, 3], [0, 2, 4]])
    h0 = states.gather(1, tip[..., None].expand(-1, -1, 16))
    first = 5 - lengths
    prompt = Prompt(h0, tip, context, states, first, tip, (SHOWN >= 0).sum(-1), shown=SHOWN)
    trace = made.run(backbone, prompt, depth, 4)
    for b, r in product(range(2), range(3)):
        shown = [item for item in SHOWN[b, r].tolist() if item >= 0]
        ids = [other.tokenizer.bos_token_id] * start + TABLE.tokens[shown].flatten().tolist()
        read = forward(other, theirs[[*ids, *[slot] * 4]])[len(ids) :]
        norm = backbone.embedding_norm()
        fed = [made.projection.weight @ (norm * s / s.norm()) + made.projection.bias for s in read]
        sequence = table[chain[b, first[b] : tip[b, r] + 1]]
        expected = forward(backbone, torch.cat([sequence, torch.stack(fed)]))[len(sequence) :]
        own = int(depth[b, r])
        assert_same(trace.states[b, r][trace.mask[b, r]], expected[:own])
        assert_same(trace.last[b, r], expected[own - 1] if own else h0[b, r])
        answer = torch.tensor([[260, 260, 260]] * 2)
        behind, _ = backbone.advance(backbone.embed(answer), trace.tip, trace.context)
        whole = forward(backbone, torch.cat([sequence, torch.stack(fed)[:own], table[[260]]]))[-1]
        assert_same(behind[b, r], whole)


def config(kind: str, name: str, **options: Any) -> Any:
    made = CATALOGUE.config_class(kind, name)
    return made.model_validate({"use": name, **options}, context={"catalogue": CATALOGUE})


def test_the_assistant_is_the_model_as_it_was_and_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    """Training moves the model and the projection alone; tied weights are kept once."""
    sids = Sids(torch.tensor([[0, 0], [0, 1], [1, 0]]), (2, 2))
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "text_vocabulary": 300}
    parts = Parts(
        config("backbone", "qwen3", **sizes), config("prompt", "sid_only"),
        config("latent_loop", "softcot"), config("depth_policy", "fixed", depth=2), 4,
    )  # fmt: skip
    env, decoder = (
        Env(seed=5, vocabulary=sids.vocabulary, corpus=lambda: ["soap"]),
        config("decoder", "trie_beam"),
    )
    model = Recommender.build(CATALOGUE, parts, decoder, sids, env).train()
    assistant = model.latent_loop.assistant
    assert not assistant.training
    assert [name for name, weight in model.latent_loop.named_parameters() if weight.requires_grad] == [
        "projection.weight",
        "projection.bias",
    ]
    before = {name: weight.clone() for name, weight in assistant.named_parameters()}
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1)
    model.eval().save(tmp_path)
    again = Recommender.load(tmp_path, CATALOGUE, decoder, sids, env).eval()
    for name, weight in again.latent_loop.assistant.named_parameters():
        assert torch.equal(weight, before[name]), name
    rows = torch.zeros(1, 1).long()
    prompts = Prompts(
        torch.tensor([model.prompts.table.tokens[1].tolist()]), torch.tensor([2]), rows + 1, rows == 0,
        rows + 1, rows[:0, 0], history=rows + 1,
    )  # fmt: skip
    both = [one.recommend(prompts, 3)[0][0] for one in (model, again)]
    assert torch.equal(both[0].items, both[1].items)
    assert torch.equal(both[0].logp, both[1].logp)
    shown = replace(prompts, history=rows)
    assert not torch.equal(model.recommend(shown, 3)[0][0].logp, both[0].logp), "it reads the items shown"


def test_the_assistant_reads_items_that_came_later() -> None:
    """A model of three items that a fourth was added to is one that was built with four."""
    codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "text_vocabulary": 300}
    parts = Parts(
        config("backbone", "qwen3", **sizes), config("prompt", "sid_only"),
        config("latent_loop", "softcot"), config("depth_policy", "fixed", depth=2), 4,
    )  # fmt: skip
    env = Env(seed=5, vocabulary=Sids(codes, (2, 2)).vocabulary, corpus=lambda: ["soap"])

    def built(items: int) -> Recommender:
        sids = Sids(codes[:items], (2, 2))
        return Recommender.build(CATALOGUE, parts, config("decoder", "trie_beam"), sids, env).eval()

    grown, whole = built(3), built(4)
    grown.extend(whole.prompts.table.tokens[3:])
    for history in ([0, 3], [3]):
        ours, theirs = (
            one.recommend(one.prompts.prompts([np.array(history)]), 4).lists[0] for one in (grown, whole)
        )
        assert torch.equal(ours.items, theirs.items)
        assert torch.equal(ours.logp, theirs.logp)
