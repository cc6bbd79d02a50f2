"""(e) What thoughts add to a user's answer, and what a chain of thought written as text does."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from latent import Bench as Thinker
from latent import prompts

from gpu_parts.common import LARGE, SMALL, TEXT_TOKENS, TINY, Bench, backbone

DEPTHS: dict[str, tuple[int, ...]] = {"1": (1,), "2.5": (2, 3), "4": (4,), "8": (8,)}
TEXT = 128


def part(bench: Bench) -> None:
    """The 0.6 B, then the small one; eight users at once, then one and many."""
    sizes = {"0.6B": (LARGE, TEXT_TOKENS), "small": (SMALL, 0)}
    if bench.smoke:
        sizes = {"tiny": (TINY, 0)}
    for name, (size, words) in sizes.items():
        model = backbone(bench, size, "float32" if bench.smoke else "bfloat16", words=words)
        items, width = (200, 5) if bench.smoke else (12_000, 50)
        thinker = Thinker(items, width, model)
        for batch in (2,) if bench.smoke else (8, 64, 1, 256):
            bench.attempt(f"{name} batch {batch}", partial(thoughts, bench, thinker, batch), least=2)
            if batch in (2, 8):
                work = partial(text, bench, thinker, batch)
                bench.attempt(f"{name} batch {batch} text of {TEXT} tokens", work, least=8)
        del model, thinker


@torch.inference_mode()
def thoughts(bench: Bench, thinker: Thinker, batch: int) -> dict[str, Any]:
    """No reasoning, and each depth over it; by turns, so that a clock that changes is fair to all."""
    ids = prompts(batch, 6 if bench.smoke else 128).to(bench.device)
    ways = {"0": lambda: thinker.none(ids)}
    ways |= {name: partial(thinker.latent, ids, depths) for name, depths in DEPTHS.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(2 if bench.smoke else 8):
        for name, work in ways.items():
            seconds = bench.seconds_of(work)
            if repeat:
                taken[name].append(seconds)
    best = {name: sorted(found)[len(found) // 2] for name, found in taken.items()}
    return {
        "ms": {name: 1000 * seconds for name, seconds in best.items()},
        "overhead": {name: best[name] / best["0"] - 1 for name in DEPTHS},
    }


@torch.inference_mode()
def text(bench: Bench, thinker: Thinker, batch: int) -> dict[str, Any]:
    """Written reasoning before the answer, and how many times what 2.5 thoughts take before it."""
    ids = prompts(batch, 6 if bench.smoke else 128).to(bench.device)
    written = bench.time(partial(thinker.text, ids, 4 if bench.smoke else TEXT), most=3, seconds=6, warm=1)
    none = bench.time(lambda: thinker.none(ids), most=5, seconds=1)
    thought = bench.time(lambda: thinker.latent(ids, DEPTHS["2.5"]), most=5, seconds=1)
    return {
        "ms": 1000 * written,
        "over_thoughts": written / thought,
        "over_thoughts_before_the_answer": (written - none) / max(thought - none, 1e-9),
    }
