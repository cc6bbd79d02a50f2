"""(c) Supervised fine-tuning of a Qwen3-0.6B from a configuration: tokens a second, share of the peak."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu_parts.common import LARGE, TEXT_TOKENS, TINY, Bench, backbone, parameters
from gpu_parts.whole import ITEMS, make, recommender
from lasar_kit.core.lesson import Lesson
from lasar_kit.model.precision import autocast
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater, training_processes

PEAK = 989e12
"""Products and sums a second of an H100 (SXM) or H200 in dense bf16, by NVIDIA's data sheets."""
SEQUENCE = 512


def part(bench: Bench) -> None:
    """At growing batch sizes, with logits of the trie's tokens or of the whole vocabulary."""
    size, words = (TINY, 0) if bench.smoke else (LARGE, TEXT_TOKENS)
    ways: list[tuple[str, str, str, int]] = [
        ("float32 weights, bf16", "float32", "trie", 16),
        ("float32 weights, bf16", "float32", "vocabulary", 16),
        ("float32 weights, bf16", "float32", "trie", 64),
        ("bf16 weights", "bfloat16", "trie", 32),
        ("float32 weights, bf16", "float32", "vocabulary", 32),
        ("float32", "float32", "trie", 8),
    ]
    for label, dtype, score, rows in ways[:2] if bench.smoke else ways:
        precision = "bf16" if label.endswith("bf16") else "fp32"
        work = partial(updates, bench, size, words, dtype, score, precision, 2 if bench.smoke else rows)
        bench.attempt(f"sft {label}, {score}, {rows} x {SEQUENCE}", work, least=5)
    rows = 2 if bench.smoke else 16
    bench.attempt(f"transformers {rows} x {SEQUENCE}", partial(plain, bench, size, words, rows), least=5)
    rows = 2 if bench.smoke else 8
    bench.attempt(f"sft thinking sliding {rows}", partial(thinking, bench, size, words, rows), least=5)


def packed(model: Recommender, rows: int, sequence: int) -> Lesson:
    """Windows of random items that fill so many tokens a row."""
    rng = np.random.default_rng(0)
    items = (sequence - 1) // model.prompts.tokens.shape[1]  # behind the start token
    windows = [rng.integers(0, ITEMS, size=items) for _ in range(rows)]
    return model.prompts.packed(windows, transparent=True)


def updates(
    bench: Bench, size: dict[str, Any], words: int, dtype: str, score: str, precision: Any, rows: int
) -> dict[str, Any]:
    """Whole updates, as the stage makes them."""
    model = recommender(bench, backbone(bench, size, dtype, words=words), "none", score)
    step = SftStep(model, score, {"ce": make(model, "sft_objective", "answer")})  # type: ignore[arg-type]
    updater = Updater(training_processes(0), step, OptimizerConfig(), 1000, precision)
    lesson = packed(model, rows, 32 if bench.smoke else SEQUENCE)
    answers = int(lesson.prompts.mask.sum()) * lesson.targets.shape[-1]
    terms = {"ce": Term(1.0, answers)}
    updater.plain.train()
    losses: list[float] = []

    def update() -> None:
        made = updater.update([(lambda: lesson.to(bench.device), 1.0)], terms)
        losses.append(made.loss)

    seconds = bench.time(update, most=8, seconds=4.0)
    rivals = model.backbone.model.config.vocab_size if score == "vocabulary" else 256
    return {
        **rate(model, lesson.prompts.ids, seconds, answers * rivals),
        "answers": answers,
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }


def rate(model: Recommender, ids: Tensor, seconds: float, logits: int) -> dict[str, Any]:
    """Tokens a second, and what share of the peak their arithmetic is.

    Forward and backward take six operations a weight and token (attention: six a key, channel and token, half
    of all keys being ahead); recomputation and the optimiser are not counted.
    """
    config = model.backbone.model.config
    tokens, length = ids.numel(), ids.shape[1]
    table = config.vocab_size * config.hidden_size
    layers = parameters(model.backbone) - table
    channels = config.num_attention_heads * config.head_dim
    work = 6.0 * tokens * layers + 6.0 * tokens * config.num_hidden_layers * length * channels
    work += 6.0 * logits * config.hidden_size
    return {
        "tokens_per_second": tokens / seconds,
        "ms": 1000 * seconds,
        "tflops": work / seconds / 1e12,
        "share_of_peak": work / seconds / PEAK,
        "parameters": layers + table,
    }


def plain(bench: Bench, size: dict[str, Any], words: int, rows: int) -> dict[str, Any]:
    """The peer: transformers' own forward with labels at every place, backward, AdamW."""
    model = recommender(bench, backbone(bench, size, words=words), "none", "trie")
    network = model.backbone.model.train()
    ids = packed(model, rows, 32 if bench.smoke else SEQUENCE).prompts.ids.to(bench.device)
    optimizer = torch.optim.AdamW(network.parameters(), fused=bench.cuda)

    def update() -> None:
        with autocast(bench.device, "bf16"):
            loss = network(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    seconds = bench.time(update, most=6, seconds=4.0)
    return rate(model, ids, seconds, ids.numel() * network.config.vocab_size)


def thinking(bench: Bench, size: dict[str, Any], words: int, rows: int) -> dict[str, Any]:
    """Updates that think four steps about each prompt, beside those that do not think about the same ones."""
    found: dict[str, Any] = {}
    for loop in ("none", "coconut"):
        model = recommender(bench, backbone(bench, size, words=words), loop, "trie", depth=4)
        step = SftStep(model, "trie", {"ce": make(model, "sft_objective", "answer")})
        updater = Updater(training_processes(0), step, OptimizerConfig(), 1000, "bf16")
        rng = np.random.default_rng(0)
        rows_of = [rng.integers(0, ITEMS, size=4 if bench.smoke else 32) for _ in range(8 * rows)]
        lesson = model.prompts.answered([(row[:-1], int(row[-1])) for row in rows_of])
        terms = {"ce": Term(1.0, lesson.targets.numel())}
        updater.plain.train()
        update: Callable[[], Any] = partial(updater.update, [(partial(lesson.to, bench.device), 1.0)], terms)
        found[f"ms {loop}"] = 1000 * bench.time(update, most=5, seconds=3.0)
        del model, step, updater, update
        bench.reset()
    return {**found, "ratio": found["ms coconut"] / found["ms none"], "prompts": 8 * rows}
