"""(f) A step of RL: candidates, then an update on them, prompt and thoughts read once for all of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from rl_step import RepeatedStep

from gpu_parts.common import LARGE, SMALL, TEXT_TOKENS, TINY, Bench, backbone
from gpu_parts.models import Alone
from gpu_parts.whole import ITEMS, make, recommender
from lasar_kit.core.values import Anchors
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.step import Group, RlStep
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater, training_processes

CANDIDATES = 8


def part(bench: Bench) -> None:
    """Both models, bf16 on float32 weights."""
    ways = {"small, 64 prompts": (SMALL, 0, 64), "0.6B, 32 prompts": (LARGE, TEXT_TOKENS, 32)}
    if bench.smoke:
        ways = {"tiny, 2 prompts": (TINY, 0, 2)}
    for name, (size, words, rows) in ways.items():
        for label, kind in (("shared", RlStep), ("repeated", RepeatedStep)):
            work = partial(step, bench, size, words, rows, kind)
            bench.attempt(f"{name}, prompt {label}", work, least=5)


def step(bench: Bench, size: dict[str, Any], words: int, rows: int, kind: type[RlStep]) -> dict[str, Any]:
    """Seconds of a rollout and of an update at depth 3."""
    model = recommender(bench, backbone(bench, size, words=words), "coconut", "trie", depth=3)
    reference = model.frozen()
    objectives = {name: make(model, "rl_objective", name) for name in ("grpo", "reinforce")}
    stepped = kind(model, reference, objectives, make(model, "aligner", "terminal"), "trie")
    updater = Updater(training_processes(0), stepped, OptimizerConfig(lr=1e-6), 1000, "bf16")
    decoder = make(model, "decoder", "trie_beam", score="trie", width=CANDIDATES)
    decoder.bind(model.prompts.table)
    rewards = [(1.0, make(model, "reward", name)) for name in ("rule", "ndcg")]
    maker = RolloutMaker(
        model,
        decoder,
        rewards,
        CANDIDATES,
        Alone(bench.device),
        True,
        0,
        "bf16",
    )
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, ITEMS, size=4 if bench.smoke else 32) for _ in range(rows)]
    lesson = model.prompts.answered([(history, 0) for history in histories])
    states = torch.randn(rows, 1, 2, model.backbone.hidden_size, generator=torch.Generator().manual_seed(1))
    anchors = Anchors(states, torch.ones(rows, 1, 2, dtype=torch.bool))
    lesson = replace(lesson, anchors=anchors).to(bench.device)
    target = torch.zeros(rows, dtype=torch.int64, device=bench.device)
    history = torch.full((rows, 1), -1, device=bench.device)

    def roll() -> Group:
        return maker.make(lesson, target, history, Share.of(0, rows, 0, 1))

    group = replace(roll(), rewards=torch.rand(rows, CANDIDATES, device=bench.device))
    terms = {name: Term(1.0, count) for name, count in stepped.counts(group).items()}
    rollout = bench.time(roll, most=6, seconds=2.0)
    update = bench.time(lambda: updater.update([(lambda: group, 1.0)], terms), most=6, seconds=3.0)
    return {
        "rollout_ms": 1000 * rollout,
        "update_ms": 1000 * update,
        "prompts_per_second": rows / (rollout + update),
        "candidates": CANDIDATES,
        "prompt_tokens": lesson.prompts.ids.shape[1],
    }
