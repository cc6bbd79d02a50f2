"""(g) Where the time of an update and of a decode goes: kernels, how busy the GPU is, who waits for it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu_parts.common import LARGE, SMALL, TEXT_TOKENS, TINY, Bench, backbone
from gpu_parts.train import SEQUENCE, packed
from gpu_parts.whole import ITEMS, make, recommender
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater, training_processes

TOP = 12


def part(bench: Bench) -> None:
    """Of both models: an update of SFT, one that thinks, and a decode that thinks."""
    sizes = {"0.6B": (LARGE, TEXT_TOKENS), "small": (SMALL, 0)}
    if bench.smoke:
        sizes = {"tiny": (TINY, 0)}
    for name, (size, words) in sizes.items():
        works = {
            "decode": decoded,
            "sft": partial(taught, "none"),
            "sft thinking": partial(taught, "coconut"),
        }
        for label, make_work in works.items():
            bench.attempt(f"{name} {label}", partial(looked_at, bench, make_work, size, words), least=3)


def looked_at(
    bench: Bench, make_work: Callable[..., Callable[[], Any]], size: dict[str, Any], words: int
) -> dict[str, Any]:
    """Synchronisations and kernels of one call, behind two that warm up."""
    work = make_work(bench, size, words)
    bench.time(work, most=2, seconds=1.0)
    return {**synchronisations(bench, work), **kernels(bench, work)}


def decoded(bench: Bench, size: dict[str, Any], words: int) -> Callable[[], Any]:
    """Eight users, four thoughts, a beam of 50."""
    dtype = "float32" if bench.smoke else "bfloat16"
    model = recommender(bench, backbone(bench, size, dtype, words=words), "coconut", "vocabulary", depth=4)
    rng = np.random.default_rng(0)
    prompts = model.eval().prompts.prompts(
        [rng.integers(0, ITEMS, size=4 if bench.smoke else 32) for _ in range(8)]
    )
    return partial(model.recommend, prompts, 5 if bench.smoke else 50)


def taught(loop: str, bench: Bench, size: dict[str, Any], words: int) -> Callable[[], Any]:
    """An update in bf16: packed, or of prompts that are thought about."""
    model = recommender(bench, backbone(bench, size, words=words), loop, "trie", depth=4)
    step = SftStep(model, "trie", {"ce": make(model, "sft_objective", "answer")})
    updater = Updater(training_processes(0), step, OptimizerConfig(), 1000, "bf16")
    lesson = lesson_of(bench, model, loop)
    terms = {"ce": Term(1.0, int(lesson.prompts.mask.sum()) * lesson.targets.shape[-1])}
    updater.plain.train()
    return partial(updater.update, [(partial(lesson.to, bench.device), 1.0)], terms)


def lesson_of(bench: Bench, model: Recommender, loop: str) -> Any:
    """Sixteen rows of 512 tokens, or sixty-four prompts."""
    if loop == "none":
        return packed(model, 2 if bench.smoke else 16, 32 if bench.smoke else SEQUENCE)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, ITEMS, size=4 if bench.smoke else 32) for _ in range(4 if bench.smoke else 64)]
    return model.prompts.answered([(row[:-1], int(row[-1])) for row in rows])


def synchronisations(bench: Bench, work: Callable[[], Any]) -> dict[str, Any]:
    """How often the CPU waits for the GPU within a call, and in which lines."""
    if not bench.cuda:
        work()
        return {}
    bench.sync()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in said if "synchroniz" in str(one.message)]
    lines = Counter(
        f"{Path(one.filename).parent.name}/{Path(one.filename).name}:{one.lineno}" for one in waits
    )
    return {"synchronisations": len(waits), "where": dict(lines.most_common(TOP))}


def kernels(bench: Bench, work: Callable[[], Any]) -> dict[str, Any]:
    """The kernels that take most of a call, and the share of an unwatched one in which any is at work."""
    plain = bench.time(work, most=5, seconds=1.0, warm=0)
    kind = DeviceType.CUDA if bench.cuda else DeviceType.CPU
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    with profile(activities=activities) as found:
        bench.seconds_of(work)
    name = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    taken = [
        (getattr(event, name), event.key[:60], event.count)
        for event in found.key_averages()
        # Names that code gives to stretches of itself would count what is within them twice.
        if event.device_type == kind and not event.key.startswith(("Optimizer.", "ProfilerStep"))
    ]
    top = sorted(taken, reverse=True)[:TOP]
    return {
        "ms": 1000 * plain,
        "busy": sum(time for time, _, _ in taken) / 1e6 / plain,
        "launches": sum(count for _, _, count in taken),
        "top_ms": {key: [time / 1000, count] for time, key, count in top},
    }
