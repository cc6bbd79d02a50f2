"""A compiled backbone computes what the plain one does, forward and backward, and keeps its names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lasar_kit import load_run
from lasar_kit.catalogue import Catalogue
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.train.compiled import blocks, compile_blocks

# torch.compile looks at what it traces through, also at what torch warns of; no code of ours does.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
TOKENS = tuple(f"<a_{n}>" for n in range(6))
SMALL = """
name: small
dataset: {use: demo, users: 60, items: 60}
max_history: 6
backbone: {use: sasrec, hidden_size: 16, layers: 1, heads: 2, dropout: 0.0}
prompt: sid_only
stages:
  tokenize: {use: tokenize, quantizer: item_id}
  ground:
    {use: sft, samples: packed, score: trie, batch_size: 15, epochs: 1, eval_users: 10, log_every: 1}
"""


def backbone() -> Any:
    catalogue = Catalogue.discover()
    options = {
        "use": "sasrec",
        "hidden_size": 16,
        "heads": 2,
        "layers": 1,
        "dropout": 0.0,
        "initializer_std": 0.3,
    }
    config = catalogue.config_class("backbone", "sasrec").model_validate(options)
    return catalogue.build("backbone", config, Env(seed=1, vocabulary=TOKENS)).train()


def read(model: Any, length: int) -> tuple[Tensor, dict[str, Tensor]]:
    """States of a prompt, and of two branches behind it, with the gradient of their sum of squares."""
    first = int(model.tokenizer.convert_tokens_to_ids("<a_0>"))
    ids = first + torch.arange(2 * length).view(2, length) % len(TOKENS)
    states, context = model.advance(model.embed(ids), chain_parents(torch.ones_like(ids).bool()), None)
    tips = torch.full((2, 2), length - 1)
    found = [states]
    if context is not None:
        more, _ = model.advance(model.embed(ids[:, :2]), tips, context)
        found.append(more)
    every = torch.cat(found, 1)
    model.zero_grad()
    every.square().sum().backward()
    return every.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.skipif(not shutil.which("c++"), reason="there is no C++ compiler for inductor")
def test_kernels_compute_the_same() -> None:
    plain, compiled = backbone(), backbone()
    assert compile_blocks(compiled, "inductor") == 1
    assert list(compiled.state_dict()) == list(plain.state_dict())
    (ours, gradients), (theirs, others) = read(compiled, 4), read(plain, 4)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert gradients.keys() == others.keys()
    for key, value in gradients.items():
        assert torch.allclose(value, others[key], rtol=1e-4, atol=1e-4), key


def test_blocks_are_what_repeats() -> None:
    one, two = nn.Linear(1, 1), nn.Linear(1, 1)
    mixed = nn.ModuleList([nn.Linear(1, 1), nn.ReLU()])
    model = nn.ModuleDict({"inner": nn.Sequential(nn.ModuleList([one, two])), "mixed": mixed})
    assert list(blocks(model)) == [one, two]


def test_a_stage_learns_the_same(tmp_path: Path) -> None:
    """With and without, to rounding; what it leaves loads as ever."""
    losses, weights = [], []
    for name, options in {"plain": (), "compiled": ("stages.ground.compile=aot_eager",)}.items():
        (tmp_path / "small.yaml").write_text(SMALL)
        catalogue = Catalogue.discover()
        loaded = load_spec(tmp_path / "small.yaml", options, catalogue)
        runner.run_spec(loaded, catalogue, tmp_path / name, False)
        lines = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        losses.append([line["loss"] for line in lines if "loss" in line])
        weights.append(load_run(tmp_path / name).recommender.state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert len(losses[0]) == 7
    assert list(weights[0]) == list(weights[1])
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-3, atol=1e-4, msg=key)
