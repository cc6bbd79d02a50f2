"""A step of reinforcement learning, against TRL's GRPOTrainer.

    pip install trl                        the peer; the kit does without
    python benchmarks/rl_trl.py            measure, print, write benchmarks/results/rl_trl.json
    python benchmarks/rl_trl.py --table    print the table of docs/latent.md from that file

Both have one model of random weights, one tokenizer, the same prompts, G candidates each of one SID's length,
one reward and one loss (GRPO by token over the whole vocabulary, clipped, k3), and make one update a rollout.
Nothing is thought, as TRL has no latent thoughts. Between any two steps of a GRPOTrainer the kit makes one of
its own; figures are medians, ratios those of steps by turns.

First both update twice on the same candidates, by plain gradient descent: losses and gradients must agree.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from decode import CODES, LEVELS
from report import Result, Shown, machine, machine_text, main
from rl_step import sized
from sft import made, recommender
from tracing import peak, watching
from trl_peer import Clock, Peer, Task, gradient, module

from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.step import Group, RlStep
from lasar_kit.train.config import RlOptimizerConfig
from lasar_kit.train.updater import Term, Updater

RESULT = Path(__file__).parent / "results" / "rl_trl.json"
RATE = 0.1
"""Of the plain gradient steps: some ratios must leave the clip."""


BETA = 1e-3
ONCE = {"gradient_checkpointing": False}
FIGURES = ("rollout", "update", "total", "megabytes")


@dataclass(frozen=True)
class Way:
    """A GRPOTrainer: its label, that of the kit's step beside it, its beta, what else it is told, and sizes
    other than those asked for."""

    label: str
    beside: str
    beta: float
    options: Mapping[str, bool]
    sizes: Mapping[str, int] = field(default_factory=dict)


WAYS = {
    "plain": Way("GRPOTrainer", "lasar-kit", BETA, ONCE),
    "held": Way("GRPOTrainer, held to the trie", "lasar-kit", BETA, {**ONCE, "held": True}),
    "checkpointed": Way("GRPOTrainer, `gradient_checkpointing` as by default", "lasar-kit", BETA, {}),
    "alone": Way("GRPOTrainer, no reference", "lasar-kit, no reference", 0.0, ONCE),
    "short": Way(
        "GRPOTrainer, 4 items, G = 4",
        "lasar-kit, prompts of 4 items, G = 4",
        BETA,
        ONCE,
        {"history": 4, "candidates": 4},
    ),
}


class Kit:
    """The kit's step, as its stage makes it; its reference is a little off the policy."""

    def __init__(self, args: argparse.Namespace, beta: float) -> None:
        codes = torch.randint(0, CODES, (args.items, LEVELS), generator=torch.Generator().manual_seed(1))
        sids = Sids(codes, (CODES,) * LEVELS)
        self.policy, self.reference = (recommender(sids, False, args.history).eval() for _ in range(2))
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for weight in self.reference.parameters():
                weight.add_(0.05 * weight.std(correction=0) * torch.randn(weight.shape, generator=generator))
        self.reference.requires_grad_(False)
        # TRL counts the KL of groups whose rewards are all equal.
        objective = made("rl_objective", "grpo", Env(), beta=beta, constant_groups="keep")
        aligner = made("aligner", "none", Env())
        self.step = RlStep(self.policy, self.reference, {"grpo": objective}, aligner, "vocabulary").eval()
        self.updater = Updater(Accelerator(cpu=True), self.step, RlOptimizerConfig(lr=1e-6), 10_000)
        histories = np.random.default_rng(2).integers(0, args.items, (args.batch, args.history))
        self.lesson = self.policy.prompts.answered([(row, 0) for row in histories])
        decoder = made("decoder", "trie_sample", Env(), width=args.candidates)
        decoder.bind(self.policy.prompts.table)
        rewards = [(1.0, made("reward", "rule", Env()))]
        self.maker = RolloutMaker(
            self.policy, decoder, rewards, args.candidates, Accelerator(cpu=True), False, 0
        )
        rows = torch.arange(args.batch)
        self.target = torch.zeros_like(rows)
        self.target = self.rollout().items[rows, rows % args.candidates]  # so that each group has a hit
        self.taken: list[tuple[float, float]] = []

    def rollout(self) -> Group:
        """Candidates drawn from the trie behind each prompt, and what they earn."""
        count = len(self.target)
        nothing = torch.full((count, 1), -1)
        return self.maker.make(self.lesson, self.target, nothing, Share.of(0, count, 0, 1))

    def make(self) -> None:
        """A rollout and an update, on the clock."""
        began = time.perf_counter()
        group = self.rollout()
        drawn = time.perf_counter()
        self.updater.update([(lambda: group, 1.0)], {"grpo": Term(1.0, len(self.target))})
        self.taken.append((drawn - began, time.perf_counter() - drawn))

    def descend(self, group: Group, steps: int) -> list[dict[str, Any]]:
        """Plain gradient steps on the same candidates: loss, share of clipped ratios and gradient of each."""
        network, found = self.policy.backbone.model, []
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        for _ in range(steps):
            result = self.step(group)
            loss = result.sums["grpo"] / len(self.target)
            loss.backward()
            clipped = result.numbers["clipped"]
            found.append({"loss": float(loss.detach()), "clipped": clipped, "gradient": gradient(network)})
            optimizer.step()
            optimizer.zero_grad()
            group = group.made_by(result.rollout)
        return found

    def handed(self, folder: str, candidates: int) -> Task:
        """What the peer needs; both models as transformers reads them."""
        for name, model in (("policy", self.policy), ("reference", self.reference)):
            model.backbone.model.save_pretrained(f"{folder}/{name}")
        table = self.policy.prompts.table.tokens
        ids = self.lesson.prompts.ids
        return Task(self.policy.backbone.tokenizer, ids, table[self.target], table, candidates)


def agreement(args: argparse.Namespace, folder: str) -> Result:
    """Two plain gradient steps both ways: losses, and how far gradients are apart, relative to the largest
    of the step."""
    kit = Kit(args, BETA)
    group, task = kit.rollout(), kit.handed(folder, args.candidates)
    clock, descent = Clock(lambda: None, True), partial(torch.optim.SGD, lr=RATE)
    options = {"beta": BETA, "num_iterations": 2, "max_steps": 2, "max_grad_norm": 0.0}
    Peer(task, folder, clock, optimizer=descent, **options).train(task.table[group.items.flatten()])
    ours, apart = kit.descend(group, 2), []
    for mine, theirs in zip(ours, clock.gradients, strict=True):
        largest = max(float(value.abs().max()) for value in theirs.values())
        furthest = max(float((mine["gradient"][name] - value).abs().max()) for name, value in theirs.items())
        apart.append(furthest / largest)
    return {
        "loss": {"kit": [mine["loss"] for mine in ours], "trl": clock.losses[:2]},
        "clipped": [mine["clipped"] for mine in ours],
        "gradient_difference": apart,
    }


def timed(args: argparse.Namespace, folder: str, way: Way) -> Result:
    """Medians of a GRPOTrainer's steps, and of the kit's between them; the first of each warms up and tells
    the peak of memory."""
    args = argparse.Namespace(**vars(args) | way.sizes)
    kit = Kit(args, way.beta)
    task, clock = kit.handed(folder, args.candidates), Clock(kit.make, False)
    watch = watching()
    kit.make()
    megabytes = peak(watch)
    options = {"beta": way.beta, "max_steps": args.repeats + 1, "learning_rate": 1e-6, **way.options}
    peer = Peer(task, folder, clock, **options)
    peer.train()
    theirs = [(drawn, both - drawn) for drawn, both in zip(peer.drawing, clock.seconds, strict=True)]
    return {
        "kit": {**medians(kit.taken[2:]), "megabytes": megabytes},
        "trl": {**medians(theirs[1:]), "megabytes": clock.megabytes},
    }


def medians(steps: list[tuple[float, float]]) -> dict[str, float]:
    """Of rollouts, of updates, and of both together."""
    rollouts, updates = zip(*steps, strict=True)
    total = median(sum(step) for step in steps)
    return {"rollout": median(rollouts), "update": median(updates), "total": total}


def measure(args: argparse.Namespace) -> Result:
    """All of it, with what it was measured on."""
    about = machine()
    about["versions"]["trl"] = module("trl").__version__
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what the peer calls in transformers
        agree = agreement(args, folder)
        ways = {way: {**asdict(WAYS[way]), **timed(args, folder, WAYS[way])} for way in args.ways}
    kit = Kit(args, 0.0)
    return {
        **about,
        "parameters": sum(weight.numel() for weight in kit.policy.parameters()),
        "sizes": {name: getattr(args, name) for name in ("batch", "candidates", "items")},
        "prompt": kit.lesson.prompts.ids.shape[1],
        "repeats": args.repeats,
        "agreement": agree,
        "ways": ways,
        "ratio": {way: found["trl"]["total"] / found["kit"]["total"] for way, found in ways.items()},
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    sizes, agree = result["sizes"], result["agreement"]
    ours, theirs = (agree["loss"][who][1] for who in ("kit", "trl"))
    prompt, count = result["prompt"], sizes["candidates"]
    once, each = prompt + count * LEVELS, count * (prompt + LEVELS)
    return (
        f"{result['parameters'] / 1e6:.1f} M parameters, {sizes['batch']} prompts of {prompt} tokens, {count}"
        f" candidates each, {machine_text(result)}. In an update the kit reads {once} tokens for a prompt"
        f" and its candidates, the trainer {each:,}: {each / once:.1f} times as many. On the same candidates"
        f" gradients differ by {max(agree['gradient_difference']):.0e} of the largest in two updates, in the"
        f" second of which {agree['clipped'][1]:.0%} of ratios are clipped and losses differ by"
        f" {abs(ours - theirs) / abs(theirs):.0e} of their size."
    )


def tables(result: Result) -> list[Shown]:
    """The one table: each GRPOTrainer below the kit's like step, which tells the median of its medians."""
    header = ("a step", "rollout in s", "update in s", "both in s", "prompts a second", "ratio", "peak in MB")
    count, rows = result["sizes"]["batch"], []
    for label in dict.fromkeys(found["beside"] for found in result["ways"].values()):
        ways = {way: found for way, found in result["ways"].items() if found["beside"] == label}
        ours = {name: median(found["kit"][name] for found in ways.values()) for name in FIGURES}
        rows.append(_row(label, ours, count, 1.0))
        rows += [
            _row(found["label"], found["trl"], count, result["ratio"][way]) for way, found in ways.items()
        ]
    return [(header, rows)]


def _row(label: str, found: Mapping[str, float], prompts: int, ratio: float) -> list[str]:
    seconds = [f"{found[name]:.2f}" for name in ("rollout", "update", "total")]
    return [label, *seconds, f"{prompts / found['total']:.2g}", f"{ratio:.1f}", f"{found['megabytes']:,.0f}"]


if __name__ == "__main__":
    parser = sized(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    main(parser, RESULT, measure, text, tables)
