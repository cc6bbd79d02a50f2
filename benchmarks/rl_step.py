"""A step of reinforcement learning: one prompt for all its candidates, against a prompt for each.

    python benchmarks/rl_step.py             measure, print, write benchmarks/results/rl_step.json
    python benchmarks/rl_step.py --table     print the table of docs/latent.md from that file

Both draw G candidates a prompt, score them under the policy and a reference, and update the policy. The kit
reads prompt and thoughts once and hangs the candidates on them; the other way is a batch of G times as many
rows, each with its own prompt, thoughts and candidate, in which nothing is shared and nothing else differs.
Losses and gradients must agree. Repeats are interleaved, figures are medians.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from accelerate import Accelerator
from decode import CODES, LEVELS, MODEL, seconds
from report import Result, Shown, machine, machine_text, main
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.lesson import Lesson, Prompts, mapped
from lasar_kit.core.values import Anchors, Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.step import Group, RlStep, Scored

RESULT = Path(__file__).parent / "results" / "rl_step.json"
WAYS = {"shared": "prompt and thoughts once", "repeated": "prompt and thoughts for each candidate"}
PARTS = ("rollout", "update")


def repeated(prompts: Prompts, times: int) -> Prompts:
    """Each row `times` times in a row."""
    bare = replace(prompts, tail=prompts.ids)
    return replace(mapped(bare, lambda tensor: tensor.repeat_interleave(times, 0)), tail=prompts.tail)


class RepeatedStep(RlStep):
    """The same losses from B x G rows of one candidate each."""

    def _score(self, model: Recommender, group: Group, steps: int) -> Scored:
        rows, count = group.items.shape
        one_each = replace(
            group,
            lesson=replace(group.lesson, prompts=repeated(group.lesson.prompts, count)),
            items=group.items.reshape(-1, 1),
            depth=group.depth.repeat_interleave(count),
        )
        alone = super()._score(model, one_each, steps)
        first = slice(None, None, count)  # what the rows of a prompt have in common
        trace = replace(
            alone.trace,
            states=alone.trace.states[first],
            mask=alone.trace.mask[first],
            last=alone.trace.last[first],
        )
        prompt = replace(alone.prompt, h0=alone.prompt.h0[first])
        shape = (rows, count, alone.tokens.shape[-1])
        return Scored(prompt, trace, alone.states.view(*shape, -1), alone.tokens.view(shape))


class Bench:
    """A policy, a reference near it, objectives, and prompts whose targets are among the candidates."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.catalogue = Catalogue.discover()
        self.args = args
        codes = torch.randint(0, CODES, (args.items, LEVELS), generator=torch.Generator().manual_seed(1))
        self.sids = Sids(codes, (CODES,) * LEVELS)
        self.policy = self._recommender(seed=0)
        reference = self._recommender(seed=0)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for weight in reference.parameters():
                weight.add_(0.05 * weight.std(correction=0) * torch.randn(weight.shape, generator=generator))
        reference.requires_grad_(False)
        objectives = {name: self._make("rl_objective", name) for name in ("grpo", "reinforce")}
        given = (self.policy, reference, objectives, self._make("aligner", "terminal"), "vocabulary")
        self.steps = {"shared": RlStep(*given).eval(), "repeated": RepeatedStep(*given).eval()}
        # Rate 0: the work of an update, and weights that stay the same for all repeats.
        self.optimizer = torch.optim.AdamW(self.policy.parameters(), lr=0.0)
        self.batch = self._prompts()
        self.target = torch.zeros(args.batch, dtype=torch.int64)
        self.makers = {"shared": self._maker(args.candidates), "repeated": self._maker(1)}
        drawn = self.rollout("shared").items
        self.target = drawn[torch.arange(args.batch), torch.arange(args.batch) % args.candidates]
        self.group = self.rollout("shared")

    def _config(self, kind: str, name: str, **options: object) -> Any:
        context = {"catalogue": self.catalogue}
        return self.catalogue.config_class(kind, name).model_validate(
            {"use": name, **options}, context=context
        )

    def _make(self, kind: str, name: str, **options: object) -> Any:
        return self.catalogue.build(kind, self._config(kind, name, **options), Env())

    def _recommender(self, seed: int) -> Recommender:
        parts = Parts(
            MODEL,
            self._config("prompt", "sid_only"),
            self._config("latent_loop", "coconut"),
            self._config("depth_policy", "mlp"),
            self.args.history,
        )
        env = Env(seed=seed, vocabulary=self.sids.vocabulary)
        decoder = self._config("decoder", "trie_beam")
        model = Recommender.build(self.catalogue, parts, decoder, self.sids, env).eval()
        with torch.no_grad():  # depths 2 and 3, about evenly: the mean that RL comes to
            model.depth_policy.output.weight.mul_(100)
            model.depth_policy.output.bias[1:3] = 100
        return model

    def _prompts(self) -> Lesson:
        generator = torch.Generator().manual_seed(2)
        shape = (self.args.batch, self.args.history)
        histories = torch.randint(0, self.args.items, shape, generator=generator).numpy()
        lesson = self.policy.prompts.answered([(history, 0) for history in histories])
        width = self.policy.backbone.hidden_size
        states = torch.randn(self.args.batch, 1, 2, width, generator=generator)
        return replace(lesson, anchors=Anchors(states, torch.ones(states.shape[:-1], dtype=torch.bool)))

    def _maker(self, candidates: int) -> RolloutMaker:
        decoder = self._make("decoder", "trie_sample")
        decoder.bind(self.policy.prompts.table)
        rewards = [(1.0, self._make("reward", "rule"))]
        return RolloutMaker(self.policy, decoder, rewards, candidates, Accelerator(cpu=True), False, 0)

    def rollout(self, way: str) -> Group:
        """Candidates drawn behind each prompt: G behind one, or one behind each of G copies."""
        lesson, target = self.batch, self.target
        if way == "repeated":
            count = self.args.candidates
            lesson = replace(lesson, prompts=repeated(lesson.prompts, count))
            target = target.repeat_interleave(count)
        history = torch.full((len(target), 1), -1)
        return self.makers[way].make(lesson, target, history, Share.of(0, len(target), 0, 1))

    def update(self, way: str) -> None:
        sum(self.steps[way](self.group).sums.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def gradients(self, way: str) -> Mapping[str, tuple[float, list[Tensor]]]:
        """Each term of the loss on the same candidates, and its gradient by each weight."""
        weights = list(self.policy.parameters())
        found = {}
        for name, loss in self.steps[way](self.group).sums.items():
            by_weight = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
            found[name] = float(loss.detach()), list(by_weight)
        return found

    def held(self, way: str) -> int:
        """Bytes that the forward pass keeps for the backward pass, beside weights."""
        weights = {weight.untyped_storage().data_ptr() for weight in self.policy.parameters()}
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            found = self.steps[way](self.group)
        del found
        return sum(kept.values())


def agreement(bench: Bench) -> dict[str, Any]:
    """Each term both ways, and how far its values and gradients are apart.

    The difference of values is relative to the value, that of gradients to the largest gradient of the term.
    """
    ours, theirs = bench.gradients("shared"), bench.gradients("repeated")
    found = {}
    for name, (loss, gradients) in ours.items():
        other, others = theirs[name]
        largest = max(float(gradient.abs().max()) for gradient in others)
        apart = max(float((a - b).abs().max()) for a, b in zip(gradients, others, strict=True))
        found[name] = {
            "shared": loss,
            "repeated": other,
            "difference": abs(loss - other) / abs(other),
            "gradient_difference": apart / largest,
        }
    return found


def times(bench: Bench, repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of each part, each way."""
    taken: dict[str, dict[str, list[float]]] = {way: {part: [] for part in PARTS} for way in WAYS}
    for _ in range(repeats + 1):
        for way, parts in taken.items():
            for part, found in parts.items():
                found.append(seconds(lambda w=way, p=part: getattr(bench, p)(w)))
    # The first repeat warms up.
    return {way: {part: median(found[1:]) for part, found in parts.items()} for way, parts in taken.items()}


def measure(args: argparse.Namespace) -> Result:
    """All of it, with what it was measured on."""
    bench = Bench(args)
    agree = agreement(bench)
    taken = times(bench, args.repeats)
    total = {way: sum(parts.values()) for way, parts in taken.items()}
    return {
        **machine(),
        "parameters": sum(weight.numel() for weight in bench.policy.parameters()),
        "sizes": {name: getattr(args, name) for name in ("batch", "candidates", "items")},
        "prompt": bench.batch.prompts.ids.shape[1],
        "repeats": args.repeats,
        "mean_depth": float(bench.group.depth.float().mean()),
        "agreement": agree,
        "seconds": {way: {**parts, "total": total[way]} for way, parts in taken.items()},
        "held_megabytes": {way: bench.held(way) / 2**20 for way in WAYS},
        "ratio": total["repeated"] / total["shared"],
    }


def text(result: Result) -> str:
    """Return the lines above the table."""
    sizes, terms = result["sizes"], result["agreement"].values()
    loss, gradient = (max(term[name] for term in terms) for name in ("difference", "gradient_difference"))
    return (
        f"{result['parameters'] / 1e6:.1f} M parameters, {sizes['batch']} prompts of {result['prompt']}"
        f" tokens, {sizes['candidates']} candidates each, {result['mean_depth']:.1f} thoughts on average,"
        f" {machine_text(result)}. Losses differ by {loss:.0e} of their size, gradients by {gradient:.0e} of"
        " the largest."
    )


def tables(result: Result) -> list[Shown]:
    """The one table."""
    header = ("read", "rollout in s", "update in s", "both in s", "ratio", "kept for the backward pass in MB")
    base = result["seconds"]["shared"]["total"]
    rows = [
        [
            label,
            *(f"{result['seconds'][way][part]:.2f}" for part in (*PARTS, "total")),
            f"{result['seconds'][way]['total'] / base:.1f}",
            f"{result['held_megabytes'][way]:,.0f}",
        ]
        for way, label in WAYS.items()
    ]
    return [(header, rows)]


def sized(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The same with options for the sizes of a step."""
    parser.add_argument("--batch", type=int, default=8, help="prompts")
    parser.add_argument("--history", type=int, default=32, help="items of a prompt")
    parser.add_argument("--candidates", type=int, default=8, help="candidates of a prompt, G")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=5)
    return parser


if __name__ == "__main__":
    parser = sized(argparse.ArgumentParser(description=__doc__))
    main(parser, RESULT, measure, text, tables)
