"""An update of packed histories that thinks at every position, each thought held to the next item.

    python benchmarks/thinking_update.py         measure, print, write benchmarks/results/thinking_update.json
    python benchmarks/thinking_update.py --table print the table of docs/sft.md from that file

The model is that of tutorials/baselines/qwen3_id.yaml, trained as thinking.yaml and held.yaml beside it do.
An update learns from histories of one length, as batches are made. "At once" is the softmax by matrices of
all log-probabilities of an update, "by rows" the one that the kit takes on a CPU. Ways take turns, and what
counts is the least time that the processor worked for this process, so that other work on the machine matters
little. Losses of both forms must be equal, to the last bit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int
from report import Result, Shown, machine, machine_text, main
from sft import config, made

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import token_logp
from lasar_kit.core.taken import plainly, taken
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater

RESULT = Path(__file__).parent / "results" / "thinking_update.json"
SIZES: dict[str, Any] = {"hidden_size": 64, "layers": 2, "heads": 2, "intermediate_size": 256}
DROPOUT: dict[str, Any] = {"embedding_dropout": 0.5, "attention_dropout": 0.5}
BACKBONE: dict[str, Any] = {"use": "qwen3", "text_vocabulary": 259, **SIZES, **DROPOUT}
COCONUT: dict[str, Any] = {"use": "coconut", "exit": "residual", "feedback_scale": "embedding_rms"}
PAUSE: dict[str, Any] = {"use": "pause", "exit": "residual"}
THOUGHTS = 3
WAYS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "plain": ("without thoughts", {"use": "none"}, False),
    "think": (f"{THOUGHTS} thoughts", COCONUT, False),
    "each": (f"{THOUGHTS} thoughts, each held to the answer", COCONUT, True),
    "pause_each": (f"{THOUGHTS} pauses, each held to the answer", PAUSE, True),
}
"""Label, latent loop, and whether thoughts are held to the answer."""

FORMS = {"at once": plainly, "by rows": taken}


class Training:
    """A model of its own, trained in one way with one form of the softmax."""

    def __init__(self, way: str, form: str, items: int) -> None:
        _, loop, held = WAYS[way]
        policy = {"use": "none"} if way == "plain" else {"use": "fixed", "depth": THOUGHTS}
        sids = Sids(torch.arange(items)[:, None], (items,))
        parts = Parts(
            _config("backbone", BACKBONE),
            config("prompt", "sid_only"),
            _config("latent_loop", loop),
            _config("depth_policy", policy),
            max_history=50,
        )
        env, decoder = Env(seed=0, vocabulary=sids.vocabulary), config("decoder", "trie_beam")
        self.model = Recommender.build(Catalogue.discover(), parts, decoder, sids, env)
        self.weights = {"answer": 1.0, "each_thought": 0.5} if held else {"answer": 1.0}
        step = SftStep(
            self.model, "trie", {name: made("sft_objective", name, Env()) for name in self.weights}
        )
        self.updater = Updater(Accelerator(cpu=True), step, OptimizerConfig(lr=5e-4), 10_000)
        self.updater.plain.train()
        self.form, self.losses = FORMS[form], list[float]()

    def update(self, histories: Int[np.ndarray, "U L"]) -> float:
        """Return the processor's seconds of one update, of the same dropout in all forms."""
        lesson = self.model.prompts.packed(list(histories), self.model.latent_loop.transparent)
        terms = {name: Term(weight, answered(histories)) for name, weight in self.weights.items()}
        token_logp.taken = self.form
        torch.manual_seed(len(self.losses))
        began = time.process_time()
        self.losses.append(self.updater.update([(lambda: lesson, 1.0)], terms).loss)
        return time.process_time() - began


def answered(histories: Int[np.ndarray, "U L"]) -> int:
    """Items but the first of each history."""
    return int(histories.shape[0] * (histories.shape[1] - 1))


def _config(kind: str, options: dict[str, Any]) -> Any:
    return config(kind, options["use"], **{name: value for name, value in options.items() if name != "use"})


def measure(args: argparse.Namespace) -> Result:
    """Take all ways, in both forms, by turns; the first round warms up."""
    draw = np.random.default_rng(2)
    batches = [draw.integers(0, args.items, (args.users, length)) for length in args.lengths]
    trainings = {(way, form): Training(way, form, args.items) for way in args.ways for form in FORMS}
    taken: dict[tuple[str, str], list[list[float]]] = {key: [[] for _ in batches] for key in trainings}
    for _ in range(args.repeats + 1):
        for place, batch in enumerate(batches):
            for key, training in trainings.items():
                taken[key][place].append(training.update(batch))
    least = {key: [min(found[1:]) for found in places] for key, places in taken.items()}
    return {
        **machine(),
        "sizes": {name: getattr(args, name) for name in ("users", "lengths", "items")},
        "answers": sum(answered(batch) for batch in batches),
        "seconds": {form: {way: least[way, form] for way in args.ways} for form in FORMS},
        "equal": all(len({tuple(trainings[way, form].losses) for form in FORMS}) == 1 for way in args.ways),
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    sizes = result["sizes"]
    lengths = ", ".join(map(str, sizes["lengths"]))
    equal = "equal, to the last bit" if result["equal"] else "LOSSES THAT DIFFER"
    return (
        f"Updates of {sizes['users']} histories of {lengths} items, {sizes['items']:,} items of one token,"
        f" the least of the processor's time; losses of both forms: {equal}; {machine_text(result)}."
    )


def tables(result: Result) -> Sequence[Shown]:
    """A row a way."""
    seconds, count = result["seconds"], result["answers"]
    whole = {form: {way: sum(found) for way, found in ways.items()} for form, ways in seconds.items()}
    old, new = whole["at once"], whole["by rows"]
    header = ("ms an answer", "at once", "times", "by rows", "times", "by rows / at once")
    rows = [
        [
            label,
            *(
                part
                for form in (old, new)
                for part in (f"{1000 * form[way] / count:.3f}", f"{form[way] / form['plain']:.2f} x")
            ),
            f"{new[way] / old[way]:.2f} x",
        ]
        for way, label in ((way, WAYS[way][0]) for way in new)
    ]
    return [(header, rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS), help="plain among them")
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--lengths", type=int, nargs="*", default=[4, 8], help="items, a batch each")
    parser.add_argument("--items", type=int, default=4344)
    parser.add_argument("--repeats", type=int, default=3)
    main(parser, RESULT, measure, text, tables)
