"""An update of supervised fine-tuning: packed and sliding, thinking, compiled, and transformers' Trainer.

    python benchmarks/sft.py             measure, print, write benchmarks/results/sft.json
    python benchmarks/sft.py --table     print the table of docs/sft.md from that file

All train one model of random weights on the same users, each of whose items but the first is an answer. The
peak is what torch's own product of two square float32 matrices reaches on the same threads, by turns with the
rest. Repeats are interleaved, figures are medians. Compilation wants a C++ compiler, and its minute is not
counted.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from decode import CODES, LEVELS, MODEL, seconds
from jaxtyping import Int
from report import Result, Shown, machine, machine_text, main
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.lesson import Lesson
from lasar_kit.core.samples import Window, epoch_batches
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.spec.compilation import Compiler
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater

RESULT = Path(__file__).parent / "results" / "sft.json"
THOUGHTS = 2
WAYS = {
    "packed": "packed, the trie's tokens",
    "vocabulary": "packed, the whole vocabulary",
    "compiled": "packed, the trie's tokens, `compile: inductor`",
    "trainer": "transformers' Trainer, labels at every place",
    "sliding": "sliding: a prompt an answer",
    "packed thinking": f"packed, {THOUGHTS} thoughts a prompt",
    "sliding thinking": f"sliding, {THOUGHTS} thoughts a prompt",
}
RIVAL = {
    "compiled": "packed",
    "trainer": "packed",
    "sliding": "packed",
    "sliding thinking": "packed thinking",
}
"""What a way's time is divided by; of the others, `packed`."""


class Training:
    """A way of the kit: a model of its own, and one lesson that it learns again and again."""

    def __init__(self, way: str, histories: Int[np.ndarray, "U L"], sids: Sids) -> None:
        thinks, score = way.endswith("thinking"), "vocabulary" if way == "vocabulary" else "trie"
        compiler: Compiler | None = "inductor" if way == "compiled" else None
        self.model = recommender(sids, thinks, histories.shape[1])
        self.lesson = self._sliding(histories) if way.startswith("sliding") else self._packed(histories)
        self.answers = histories.shape[0] * (histories.shape[1] - 1)
        objective = made("sft_objective", "answer", Env())
        step = SftStep(self.model, score, {"ce": objective})
        self.updater = Updater(Accelerator(cpu=True), step, OptimizerConfig(), 10_000, compiler=compiler)
        self.updater.plain.train()
        self.losses: list[float] = []

    def _packed(self, histories: Int[np.ndarray, "U L"]) -> Lesson:
        return self.model.prompts.packed(list(histories), self.model.latent_loop.transparent)

    def _sliding(self, histories: Int[np.ndarray, "U L"]) -> Lesson:
        ends = [(row[:end], int(row[end])) for row in histories for end in range(1, len(row))]
        return self.model.prompts.answered(ends)

    def update(self) -> None:
        """One update, as the stage makes it."""
        terms = {"ce": Term(1.0, self.answers * LEVELS)}
        self.losses.append(self.updater.update([(lambda: self.lesson, 1.0)], terms).loss)


class Clock(TrainerCallback):
    """How long Trainer's own steps take."""

    def __init__(self) -> None:
        self.began, self.taken = 0.0, 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.taken = time.perf_counter() - self.began


class Peer:
    """transformers' Trainer on the same token sequences."""

    def __init__(self, ids: Int[Tensor, "U T"], sids: Sids, folder: str) -> None:
        network = recommender(sids, False, ids.shape[1]).backbone.model
        self.clock = Clock()
        rows = [{"input_ids": row, "labels": row} for row in ids]
        options = TrainingArguments(
            folder,
            per_device_train_batch_size=len(rows),
            max_steps=2,
            learning_rate=1e-3,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        self.trainer = Trainer(network, options, train_dataset=rows, callbacks=[self.clock])

    def update(self) -> float:
        """Seconds of the second of two steps."""
        self.trainer.train()
        return self.clock.taken


def made(kind: str, name: str, env: Env, **options: object) -> Any:
    """A component by its name."""
    catalogue = Catalogue.discover()
    return catalogue.build(kind, config(kind, name, **options), env)


def config(kind: str, name: str, **options: object) -> Any:
    """The config of a component."""
    catalogue = Catalogue.discover()
    return catalogue.config_class(kind, name).model_validate(
        {"use": name, **options}, context={"catalogue": catalogue}
    )


def recommender(sids: Sids, thinks: bool, history: int) -> Recommender:
    """A model of random weights that thinks a fixed number of steps, or none."""
    loop, policy = ("coconut", {"use": "fixed", "depth": THOUGHTS}) if thinks else ("none", {"use": "none"})
    parts = Parts(
        MODEL,
        config("prompt", "sid_only"),
        config("latent_loop", loop),
        config("depth_policy", str(policy.pop("use")), **policy),
        history,
    )
    env, decoder = Env(seed=0, vocabulary=sids.vocabulary), config("decoder", "trie_beam")
    return Recommender.build(Catalogue.discover(), parts, decoder, sids, env)


def work(model: Recommender, ids: Int[Tensor, "U T"], answers: int) -> float:
    """Operations of forward and backward over packed rows: six a weight and token; of attention six a key,
    channel and token, half of all keys being ahead; six a weight of each level's tokens."""
    sizes = model.backbone.model.config
    layers = sum(p.numel() for p in model.backbone.model.base_model.layers.parameters())
    channels = sizes.num_attention_heads * sizes.head_dim
    total = 6.0 * ids.numel() * (layers + sizes.num_hidden_layers * ids.shape[1] / 2 * 2 * channels)
    return total + 6.0 * answers * LEVELS * CODES * sizes.hidden_size


def product(size: int) -> float:
    """Seconds of a product of two square matrices."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    return seconds(lambda: a @ b)


def padding(args: argparse.Namespace) -> dict[str, float]:
    """What share of an epoch's places are pads, with batches of similar lengths and of shuffled ones."""
    lengths = np.minimum(4 + np.random.default_rng(0).geometric(0.2, 4000), 50)
    windows = [Window(n, 0, int(length)) for n, length in enumerate(lengths)]
    found = {}
    for name, by_length in (("by_length", True), ("shuffled", False)):
        batches = [lengths[rows] for rows in epoch_batches(windows, 64, 0, 0, by_length)]
        read = sum(len(batch) * int(batch.max()) for batch in batches)
        found[name] = 1 - float(lengths.sum()) / read
    return found


def timed(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, by turns; the first round warms up."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats + 1):
        for way, run in ways.items():
            taken[way].append(run())
    return {way: found[1:] for way, found in taken.items()}


def measure(args: argparse.Namespace) -> Result:
    """All of it, with what it was measured on."""
    transformers.utils.logging.set_verbosity_error()
    codes = torch.randint(0, CODES, (args.items, LEVELS), generator=torch.Generator().manual_seed(1))
    sids = Sids(codes, (CODES,) * LEVELS)
    histories = np.random.default_rng(2).integers(0, args.items, (args.users, args.history))
    names = [way for way in args.ways if way != "trainer" and (way != "compiled" or shutil.which("c++"))]
    trainings = {way: Training(way, histories, sids) for way in names}
    packed = trainings["packed"]
    ids = packed.lesson.prompts.ids
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(ids, sids, folder)
        ways: dict[str, Callable[[], float]] = {
            way: partial(seconds, training.update) for way, training in trainings.items()
        }
        ways |= {"trainer": peer.update} if "trainer" in args.ways else {}
        ways["product"] = partial(product, args.product)
        taken = {way: median(found) for way, found in timed(ways, args.repeats).items()}
    peak = 2 * args.product**3 / taken.pop("product")
    return {
        **machine(),
        "parameters": sum(weight.numel() for weight in packed.model.parameters()),
        "sizes": {name: getattr(args, name) for name in ("users", "history", "items")},
        "tokens": ids.numel(),
        "answers": packed.answers,
        "repeats": args.repeats,
        "peak_gflops": peak / 1e9,
        "seconds": {way: taken[way] for way in WAYS if way in taken},
        "share_of_peak": work(packed.model, ids, packed.answers) / taken["packed"] / peak,
        "losses": {way: training.losses for way, training in trainings.items()},
        "padding": padding(args),
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    sizes, padding = result["sizes"], result["padding"]
    return (
        f"{result['parameters'] / 1e6:.1f} M parameters, {sizes['users']} users of {sizes['history']} items"
        f" ({result['tokens']:,} tokens packed, {result['answers']} answers), {machine_text(result)}. Packed"
        f" updates reach {result['share_of_peak']:.0%} of the {result['peak_gflops']:.0f} GFLOP/s of a large"
        f" float32 product. Batches of similar lengths are {padding['by_length']:.1%} pads, shuffled ones"
        f" {padding['shuffled']:.0%} (lengths 5 to 50, mean 9)."
    )


def tables(result: Result) -> list[Shown]:
    """The one table."""
    header = ("an update", "ms", "answers a second", "times")
    taken = result["seconds"]
    rows = [
        [
            WAYS[way],
            f"{1000 * own:,.0f}",
            f"{result['answers'] / own:,.0f}",
            f"{own / taken[RIVAL.get(way, 'packed')]:.2f} x {RIVAL.get(way, 'packed')}",
        ]
        for way, own in taken.items()
    ]
    return [(header, rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS), help="packed among them")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--history", type=int, default=32, help="items of a user")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument(
        "--product", type=int, default=2048, help="rows of the matrices whose product is the peak"
    )
    parser.add_argument("--repeats", type=int, default=3)
    main(parser, RESULT, measure, text, tables)
