"""All of LASAR on a small shop, on a model with windows, scaled embeddings and adapters: a tiny Gemma 3."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from tests.backbone.tiny_models import make
from tests.small import SHOP

SPEC = (
    SHOP
    + """
name: gemma
backbone: {use: hf_causal, pretrained: base, lora: {rank: 2}}
stages:
  ground: {log_every: 1, optimizer: {lr: 1.0e-2}}
"""
)


def test_a_run_trains_evaluates_and_leaves_a_model(tmp_path: Path) -> None:
    make(tmp_path / "base", "gemma3_text", max_position_embeddings=1024, sliding_window=8)
    (tmp_path / "gemma.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(tmp_path / "gemma.yaml", (), catalogue), catalogue, tmp_path / "run", True)
    row = json.loads((tmp_path / "run" / "metrics.json").read_text())["evaluate"]
    assert 1 <= row["mean_depth"] <= 4
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["stage"] == "ground" and "loss" in line]
    assert losses[-1] < losses[0]
    base, model = (
        AutoModelForCausalLM.from_pretrained(tmp_path / folder) for folder in ("base", "run/model")
    )
    assert (model.config.model_type, model.config.sliding_window) == ("gemma3_text", 8)
    weights = dict(model.named_parameters())
    for name, old in base.named_parameters():
        known = 259 if "embed" in name else len(old)  # tokens of its own
        moved = not torch.equal(weights[name][:known], old[:known])
        assert moved == name.endswith("_proj.weight"), name
