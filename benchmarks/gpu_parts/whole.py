"""A recommender around a backbone that is there already."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from gpu_parts.common import CODES, LEVELS, Bench
from gpu_parts.models import catalogue, config
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.prompts import PromptBuilder
from lasar_kit.model.recommender import Recommender
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone

ITEMS, HISTORY = 12_000, 127


@cache
def sids() -> Sids:
    """Of a catalogue of random codes."""
    codes = torch.randint(0, CODES, (ITEMS, LEVELS), generator=torch.Generator().manual_seed(1))
    return Sids(codes, (CODES,) * LEVELS)


def recommender(
    bench: Bench, backbone: Qwen3Backbone, loop: str, score: str, depth: int | None = None
) -> Recommender:
    """With a loop; it thinks `depth` steps, or as many as a policy of random weights says."""
    chosen: dict[str, Any] = {"use": "mlp"} if depth is None else {"use": "fixed", "depth": depth}
    policy = {"use": "none"} if loop == "none" else chosen
    parts = Parts(
        config("backbone", "qwen3"),
        config("prompt", "sid_only"),
        config("latent_loop", loop),
        config("depth_policy", policy.pop("use"), **policy),
        HISTORY,
    )
    table = sids().table(backbone.tokenizer)
    env = Env(
        device=bench.device,
        hidden_size=backbone.hidden_size,
        tokenizer=backbone.tokenizer,
        vocabulary=sids().vocabulary,
        table=table,
        head=backbone.logits,
    )
    build = catalogue().build
    thinker, chooser = (
        build("latent_loop", parts.latent_loop, env),
        build("depth_policy", parts.depth_policy, env),
    )
    for part in (thinker, chooser):
        if isinstance(part, torch.nn.Module):
            part.to(bench.device)
    decoder = build("decoder", config("decoder", "trie_beam", score=score), env)
    decoder.bind(table)
    prompts = PromptBuilder(build("prompt", parts.prompt, env), backbone.tokenizer, table, HISTORY)
    return Recommender(backbone, thinker, chooser, decoder, prompts, parts)


def make(model: Recommender, kind: str, name: str, **options: Any) -> Any:
    """A component that works on a recommender."""
    backbone = model.backbone
    env = Env(
        device=str(model.device),
        hidden_size=backbone.hidden_size,
        tokenizer=backbone.tokenizer,
        vocabulary=sids().vocabulary,
        table=model.prompts.table,
        head=backbone.logits,
    )
    return catalogue().build(kind, config(kind, name, **options), env)
