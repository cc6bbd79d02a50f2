"""LoRA through all stages on a small shop, and the reference of RL, which shares the frozen base."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import LoraConfig, Qwen3Config
from tests.small import SHOP

# A learning rate of nothing in `reason` tells whether it goes on from the adapters of `ground`.
SPEC = (
    SHOP
    + """
name: lora
backbone:
  {use: qwen3, hidden_size: null, layers: null, heads: null, text_vocabulary: null, pretrained: base,
   lora: {rank: 2, alpha: 4}}
stages:
  ground: {optimizer: {lr: 1.0e-2}}
  reason: {optimizer: {lr: 1.0e-9}}
  rl: {optimizer: {lr: 1.0e-2}}
"""
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.discover()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Path:
    root = tmp_path_factory.mktemp("runs")
    config = Qwen3Config(use="qwen3", hidden_size=16, layers=1, heads=2, text_vocabulary=300)
    Qwen3Backbone(config, Env(seed=1, corpus=lambda: ["soap and brush"])).save(root / "base")
    (root / "lora.yaml").write_text(SPEC)
    runner.run_spec(load_spec(root / "lora.yaml", (), catalogue), catalogue, root / "lora", True)
    return root / "lora"


def test_the_document_shows_the_defaults(tmp_path: Path, catalogue: Catalogue) -> None:
    document = (Path(__file__).parents[2] / "docs" / "specs.md").read_text()
    (example,) = re.findall(r"^```yaml\n(backbone:.*?)^```", document, re.DOTALL | re.MULTILINE)
    (tmp_path / "example.yaml").write_text(example + "stages: {tokenize: tokenize, ground: sft}\n")
    backbone = load_spec(tmp_path / "example.yaml", (), catalogue).spec.backbone
    assert isinstance(backbone, Qwen3Config)
    assert backbone.lora == LoraConfig()


def adapters(run: Path, stage: str) -> dict[str, Tensor]:
    return load_file(run / "stages" / stage / "lora" / "adapter_model.safetensors")


def load(run: Path, stage: str, catalogue: Catalogue) -> Recommender:
    spec = load_spec(run.parent / "lora.yaml", (), catalogue).spec
    sids = Sids.load(run / "stages" / "tokenize")
    return Recommender.load(run / "stages" / stage, catalogue, spec.decoder, sids, Env(seed=2))


def answers(recommender: Recommender) -> Tensor:
    """Logits behind two prompts and their thoughts."""
    batch = recommender.prompts.answered([(np.array([3, 9]), 5), (np.array([7, 8, 11, 2]), 1)])
    prompt = recommender.read(batch.prompts)
    trace = recommender.think(prompt, recommender.choose_depth(recommender.depth_policy, prompt))
    logits: Tensor = recommender.backbone.logits(trace.last)
    return logits


def test_every_stage_goes_on_with_the_adapters_of_the_last(finished: Path) -> None:
    stored = [adapters(finished, stage) for stage in ("ground", "reason")]
    assert len({tuple(weights) for weights in stored}) == 1
    for name, ground in stored[0].items():
        torch.testing.assert_close(stored[1][name], ground, atol=1e-6, rtol=0)
        if "lora_B" in name:
            assert ground.any(), f"{name} was not trained"


def test_the_base_is_never_trained_and_checkpoints_hold_it_merged(finished: Path) -> None:
    base = load_file(finished.parent / "base" / "model.safetensors")
    merged = load_file(finished / "stages" / "rl" / "model.safetensors")
    untouched = [name for name in base if "norm" in name]
    assert untouched
    assert all(torch.equal(merged[name], base[name]) for name in untouched)
    rows = len(base["model.embed_tokens.weight"])
    assert torch.equal(merged["model.embed_tokens.weight"][:rows], base["model.embed_tokens.weight"])
    stem = "model.layers.0.mlp.up_proj"
    stored = adapters(finished, "rl")
    up, down = (stored[f"base_model.model.{stem}.lora_{part}.weight"] for part in "BA")
    torch.testing.assert_close(merged[f"{stem}.weight"], base[f"{stem}.weight"] + 4 / 2 * up @ down)


def test_the_run_is_evaluated_and_its_model_stands_alone(finished: Path, catalogue: Catalogue) -> None:
    row = json.loads((finished / "metrics.json").read_text())["evaluate"]
    assert 1 <= row["mean_depth"] <= 4
    recommender = load(finished, "rl", catalogue).eval()
    merged = AutoModelForCausalLM.from_pretrained(finished / "model")
    ids = recommender.prompts.prompts([np.array([7, 8, 11, 2])]).ids
    hidden, _ = recommender.backbone.advance(
        recommender.backbone.embed(ids), chain_parents(torch.ones_like(ids, dtype=torch.bool)), None
    )
    torch.testing.assert_close(merged(ids).logits, recommender.backbone.logits(hidden), atol=1e-5, rtol=1e-5)


def test_rl_begins_at_its_reference_and_moves_away_from_it(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    kl = [line["kl"] for line in lines if line["stage"] == "rl" and "loss" in line]
    assert len(kl) == 3
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[-1] > 1e-4


def test_the_reference_shares_the_base_and_nothing_that_is_trained(
    finished: Path, catalogue: Catalogue
) -> None:
    policy = load(finished, "reason", catalogue)
    reference = policy.frozen()
    ours, theirs = dict(policy.named_parameters()), dict(reference.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert (theirs[name].data_ptr() == weight.data_ptr()) == (not weight.requires_grad), name
        assert not theirs[name].requires_grad
        assert torch.equal(theirs[name], weight)
    base = sum(weight.numel() for weight in policy.backbone.parameters() if not weight.requires_grad)
    assert base == 2 * 16 * 16 + 2 * 16 * 16 + 3 * 16 * 48 + 3 * 16 + 2 * 8 + 16 * len(
        policy.backbone.tokenizer
    )
    head, table = (
        getattr(reference.backbone.model, f"get_{side}_embeddings")().token_adapter
        for side in ("output", "input")
    )
    assert head.trainable_tokens_delta["default"] is table.trainable_tokens_delta["default"]  # still tied
    assert not reference.training
    assert policy.training


def test_the_reference_stays_while_the_policy_is_trained(finished: Path, catalogue: Catalogue) -> None:
    policy = load(finished, "reason", catalogue)
    policy.eval()
    reference = policy.frozen()
    with torch.no_grad():
        before = answers(reference)
        torch.testing.assert_close(answers(policy), before, atol=0, rtol=0)
    trained = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(3):
        (-answers(policy).log_softmax(-1)[..., 5].mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        assert torch.equal(answers(reference), before)
        assert (answers(policy) - before).abs().max() > 0.1
    assert all(weight.grad is None for weight in reference.parameters())


def test_the_reference_of_a_model_trained_whole_shares_nothing(finished: Path, catalogue: Catalogue) -> None:
    policy = load(finished, "reason", catalogue)
    policy.requires_grad_(True)
    shared = {weight.data_ptr() for weight in policy.frozen().parameters()}
    assert not shared & {weight.data_ptr() for weight in policy.parameters()}
