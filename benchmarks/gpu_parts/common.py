"""What the parts share: their clock, where numbers go, how times are taken, and models."""

from __future__ import annotations

import gc
import importlib
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import accelerate
import numpy
import torch
import transformers
from gpu import write
from torch import Tensor, nn

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config

LEVELS, CODES = 4, 256
SMALL = {"hidden_size": 256, "layers": 9, "heads": 8, "kv_heads": 4, "intermediate_size": 1024}
"""The model of benchmarks/decode.py."""
LARGE = {
    "hidden_size": 1024,
    "layers": 28,
    "heads": 16,
    "kv_heads": 8,
    "head_dim": 128,
    "intermediate_size": 3072,
    "rope_theta": 1e6,
}
"""Qwen3-0.6B."""
TEXT_TOKENS = 151_936 - 267
"""Tokens of text besides those that a tokenizer from scratch has, so that the embeddings are Qwen3's."""
TINY = {"hidden_size": 32, "layers": 2, "heads": 4, "kv_heads": 2, "initializer_std": 0.3}


@dataclass
class Bench:
    """A part at work: its device, its time, its results."""

    part: str
    out: Path
    seconds: float
    smoke: bool
    device: str
    began: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds that the part still has."""
        return self.seconds - (time.perf_counter() - self.began)

    def tell(self, name: str, **found: Any) -> None:
        """Write a result."""
        write(self.out, part=self.part, name=name, **{key: shortened(value) for key, value in found.items()})

    def attempt(self, name: str, work: Callable[[], dict[str, Any] | None], least: float = 0.0) -> Any:
        """Do one thing and tell what it found, or why it could not, unless there is less than `least` time.

        What takes the device down is raised on: nothing after it would work.
        """
        if self.left < least:
            self.tell(name, skipped="no time left")
            return None
        started = time.perf_counter()
        self.reset()
        try:
            found = work()
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-3:]
            where = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(last))
            self.tell(
                name, error=f"{type(error).__name__}: {' '.join(str(error).split())[:400]}", where=where
            )
            self.sync()
            return None
        if found is not None:
            more = {"peak_gib": self.peak()} if self.cuda else {}
            self.tell(name, **found, **more, took=time.perf_counter() - started)
        return found

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device == "cuda"

    def sync(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize()

    def reset(self) -> None:
        """Forget memory that was in use before."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float:
        """GiB that were in use at most since `reset`."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.cuda else 0.0

    def seconds_of(self, work: Callable[[], Any]) -> float:
        """Of one call, the device's work included."""
        self.sync()
        start = time.perf_counter()
        work()
        self.sync()
        return time.perf_counter() - start

    def time(self, work: Callable[[], Any], most: int = 20, seconds: float = 4.0, warm: int = 2) -> float:
        """Median seconds of a call, of so many repeats as are made in so much time, three at least."""
        for _ in range(1 if self.smoke else warm):
            self.seconds_of(work)
        taken: list[float] = []
        until = time.perf_counter() + min(seconds, max(self.left, 0.0))
        while len(taken) < (1 if self.smoke else 3) or (
            len(taken) < most and time.perf_counter() < until and not self.smoke
        ):
            taken.append(self.seconds_of(work))
        return median(taken)


def shortened(value: Any) -> Any:
    """Numbers as they are read."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(inner) for inner in value]
    return value


def run(part: str, module: str, out: Path, seconds: float, smoke: bool) -> int:
    """One part, in this process."""
    device = "cpu" if smoke else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        write(out, part=part, name="device", error="torch sees no GPU; --smoke runs on the CPU")
        return 2
    torch.set_float32_matmul_precision("highest")  # no TF32 in what is called float32
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    bench = Bench(part, out, seconds, smoke, device)
    versions = {
        name: sys.modules[name].__version__ for name in ("torch", "transformers", "accelerate", "numpy")
    }
    gpu = torch.cuda.get_device_name() if bench.cuda else "none"
    bench.tell("device", gpu=gpu, python=platform.python_version(), **versions)
    importlib.import_module(f"gpu_parts.{module}").part(bench)
    return 0


def backbone(
    bench: Bench, size: dict[str, Any], dtype: str = "float32", device: str | None = None, words: int = 0
) -> Qwen3Backbone:
    """A Qwen3 of random weights, drawn on the device it stands on; `words` more rows of the embeddings."""
    place = device or bench.device
    vocabulary = (*sid_tokens((CODES,) * LEVELS), *LATENT_TOKENS)
    with torch.device("meta"), without_drawing():
        made = Qwen3Backbone(
            Qwen3Config(use="qwen3", dtype=dtype, **size), Env(seed=0, device="meta", vocabulary=vocabulary)
        )
    if words:
        made.model.config.vocab_size += words
        table = nn.Embedding(made.model.config.vocab_size, made.hidden_size, device="meta")
        made.model.set_input_embeddings(table.to(made.model.dtype))
        made.model.tie_weights()
    return materialised(made, place, size.get("initializer_std", 0.02))


@contextmanager
def without_drawing() -> Iterator[None]:
    """Weights are drawn afterwards: a generator of the CPU cannot draw on `meta`."""
    with patch.object(Tensor, "normal_", lambda self, *args, **options: self):
        yield


def materialised(made: Qwen3Backbone, place: str, std: float) -> Qwen3Backbone:
    """Weights of normal numbers on a device, and the rotary frequencies, which are computed."""
    made.to_empty(device=place)
    made.model.tie_weights()
    assert made.model.get_input_embeddings().weight is made.model.get_output_embeddings().weight
    generator = torch.Generator(place).manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, std, generator=generator)
            else:
                weight.fill_(1.0)
    rotary = made.model.model.rotary_emb
    made.model.model.rotary_emb = type(rotary)(config=made.model.config).to(place)
    made.model.generation_config.pad_token_id = 0
    return made


def parameters(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(weight.numel() for weight in module.parameters())


VERSIONS = (accelerate, numpy)
"""Imported to be named."""
