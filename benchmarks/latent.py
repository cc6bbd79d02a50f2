"""The cost of thinking for a user: no reasoning, latent thoughts, and a chain of thought written as text.

    python benchmarks/latent.py             measure, print, write benchmarks/results/latent.json
    python benchmarks/latent.py --table     print the table of docs/latent.md from that file

All on one model of random weights in one process: prompts are read, thought about, and answered by the same
beam search. Repeats are interleaved so that a noisy machine is noisy for all; figures are medians, and what
is added that of the differences within a round. Sizes are those of benchmarks/decode.py, and so is the advice
on cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from decode import ENV, MODEL, catalogue, read, seconds
from report import Result, Shown, machine, machine_text, main
from torch import Tensor

from lasar_kit.core.chains import opened, read_chains
from lasar_kit.core.depth import greedy_depth
from lasar_kit.core.token_tree import TokenTree
from lasar_kit.core.values import Beams, Env, LatentTrace, SidTable
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone, TreeContext
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.depth_policy.mlp.config import DepthMlpConfig
from lasar_plugins.depth_policy.mlp.policy import DepthMlp
from lasar_plugins.latent_loop.coconut.config import CoconutConfig
from lasar_plugins.latent_loop.coconut.loop import CoconutLoop

RESULT = Path(__file__).parent / "results" / "latent.json"
MIXED, DEEPEST = (2, 3), 8
"""Depths of the rows by turns, a mean of 2.5; and the most that the paper's policy may choose."""
METHODS = {
    "none": "no reasoning",
    "mean": "LASAR, 2.5 thoughts on average",
    "deepest": "LASAR, 8 thoughts",
    "text": "chain of thought as text",
}


class Bench:
    """One model with a latent loop, a depth policy and a decoder, where the model is."""

    def __init__(self, items: int, width: int, backbone: Qwen3Backbone | None = None) -> None:
        self.backbone = (backbone or Qwen3Backbone(MODEL, ENV)).eval()
        self.backbone.model.generation_config.pad_token_id = 0
        device = str(self.backbone.model.device)
        inner = Env(seed=0, device=device, hidden_size=self.backbone.hidden_size)
        self.loop = CoconutLoop(CoconutConfig(use="coconut"), inner).to(device)
        self.policy = DepthMlp(DepthMlpConfig(use="mlp", n_max=DEEPEST), inner).to(device)
        self.decoder = TrieBeam(TrieBeamConfig(use="trie_beam"), replace(ENV, device=device))
        self.decoder.bind(SidTable(catalogue(self.backbone, items)))
        self.width = width

    def rank(self, trace: LatentTrace) -> Beams:
        return self.decoder.search(self.backbone, trace, self.width)

    def none(self, ids: Tensor) -> Beams:
        return self.rank(read(self.backbone, ids))

    def latent(self, ids: Tensor, depths: tuple[int, ...]) -> Beams:
        """The policy is asked as well, though its answer is random weights' and not taken. As a recommender
        does, the prompt is read with the token that the loop begins with."""
        lengths = ids.new_full((len(ids),), ids.shape[1])
        opening = self.backbone.tokenizer.convert_tokens_to_ids(self.loop.opening)
        hidden, context = read_chains(self.backbone, *opened(ids, lengths, opening))
        tip = torch.full_like(ids[:, :1], ids.shape[1] - 1)
        prompt = replace(prompt_of(hidden[:, -2:-1]), tip=tip, context=context, opened=hidden[:, -1:])
        greedy_depth(self.policy, prompt)
        depth = torch.tensor(depths).repeat(len(ids))[: len(ids), None].to(ids.device)
        return self.rank(self.loop.run(self.backbone, prompt, depth, max(depths[: len(ids)])))

    def text(self, ids: Tensor, tokens: int) -> tuple[Beams, Tensor]:
        """Greedy text by transformers' `generate`; the answer goes on from the cache that this leaves."""
        out = self.backbone.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=None,
            return_dict_in_generate=True,
        )
        layers = tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)
        length = layers[0][0].shape[2]  # the last token has not been read
        context = TreeContext(TokenTree.chain(ids.new_zeros(len(ids)), length), layers)
        parent = torch.full_like(ids[:, :1], length - 1)
        hidden, context = self.backbone.advance(self.backbone.embed(out.sequences[:, -1:]), parent, context)
        mask = torch.zeros(len(ids), 1, 0, dtype=torch.bool, device=ids.device)
        trace = LatentTrace(hidden[:, :, None][:, :, :0], mask, hidden, parent + 1, context)
        return self.rank(trace), out.sequences


def prompts(batch: int, length: int) -> Tensor:
    """Random text tokens."""
    return torch.randint(3, 259, (batch, length), generator=torch.Generator().manual_seed(2))


def interleaved(
    methods: dict[str, Callable[[], Any]], repeats: int, slow: str = ""
) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each method, and the median of what it takes more than `none` in the same round.

    Each begins a round by turns, as what ran before leaves caches and memory to the next. All but `slow` are
    run three times as often as it.
    """
    rounds: list[dict[str, float]] = []
    for run in methods.values():
        run()
    for repeat in range(3 * repeats):
        names = [name for name in methods if name != slow or repeat % 3 == 0]
        turn = repeat % len(names)
        rounds.append({name: seconds(methods[name]) for name in names[turn:] + names[:turn]})
    taken = {name: median(times[name] for times in rounds if name in times) for name in methods}
    added = {
        name: median(times[name] - times["none"] for times in rounds if name in times) for name in methods
    }
    return taken, added


def compare(bench: Bench, args: argparse.Namespace) -> dict[str, Any]:
    """Times of all methods on the same prompts."""
    ids = prompts(args.batch, args.prompt)
    taken, added = interleaved(
        {
            "none": lambda: bench.none(ids),
            "mean": lambda: bench.latent(ids, MIXED),
            "deepest": lambda: bench.latent(ids, (DEEPEST,)),
            "text": lambda: bench.text(ids, args.text),
        },
        args.repeats,
        slow="text",
    )
    answered, sequences = bench.text(ids, args.text)
    return {
        "ms_per_user": {name: 1000 * time / args.batch for name, time in taken.items()},
        "overhead": {name: added[name] / taken["none"] for name in ("mean", "deepest", "text")},
        "text_over_mean": taken["text"] / taken["mean"],
        "text_over_mean_added": added["text"] / added["mean"],
        "text_ranks_as_read_anew": torch.equal(answered.items, bench.none(sequences).items),
    }


def by_batch(bench: Bench, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the time that 2.5 thoughts add where `batch` users are ranked at once."""
    ids = prompts(batch, args.prompt)
    methods = {"none": lambda: bench.none(ids), "mean": lambda: bench.latent(ids, MIXED)}
    taken, added = interleaved(methods, args.repeats)
    return {
        "batch": batch,
        "ms_per_user": {name: 1000 * time / batch for name, time in taken.items()},
        "overhead": added["mean"] / taken["none"],
    }


def measure(args: argparse.Namespace) -> Result:
    """All of it, with what it was measured on."""
    transformers.utils.logging.set_verbosity_error()
    bench = Bench(args.items, args.width)
    with torch.inference_mode():
        return {
            **machine(),
            "parameters": sum(weight.numel() for weight in bench.backbone.parameters()),
            "sizes": {name: getattr(args, name) for name in ("batch", "prompt", "width", "items", "text")},
            "repeats": args.repeats,
            "compare": compare(bench, args),
            "batches": [by_batch(bench, batch, args) for batch in args.batches],
        }


def text(result: Result) -> str:
    """Return the lines above the tables."""
    found, sizes = result["compare"], result["sizes"]
    return (
        f"{result['parameters'] / 1e6:.1f} M parameters, batch {sizes['batch']}, prompts of {sizes['prompt']}"
        f" tokens, {sizes['width']} beams, {sizes['items']:,} items, {machine_text(result)}. Before the"
        f" answer, text takes {found['text_over_mean_added']:.0f} times as long as 2.5 thoughts; with reading"
        f" and answering, {found['text_over_mean']:.1f} times."
    )


def tables(result: Result) -> list[Shown]:
    """Header and rows of the two tables."""
    found, tokens = result["compare"], result["sizes"]["text"]
    named = {**METHODS, "text": f"{METHODS['text']}, {tokens} tokens"}
    base = found["ms_per_user"]["none"]
    costs = [
        [
            named[name],
            f"{ms:.1f}",
            f"{found['overhead'][name]:+.1%}" if name != "none" else "",
            f"{ms / base:.2f}",
        ]
        for name, ms in found["ms_per_user"].items()
    ]
    batches = [
        [str(row["batch"]), *(f"{ms:.1f}" for ms in row["ms_per_user"].values()), f"{row['overhead']:+.1%}"]
        for row in result["batches"]
    ]
    shown: list[Shown] = [(["before the answer", "ms a user", "added", "times no reasoning"], costs)]
    if batches:
        header = ["users at once", "no reasoning, ms a user", "2.5 thoughts, ms a user", "added"]
        shown.append((header, batches))
    return shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--width", type=int, default=50, help="beams")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--text", type=int, default=150, help="tokens of written reasoning")
    parser.add_argument("--batches", type=int, nargs="*", default=[2, 32], help="other batch sizes")
    parser.add_argument("--repeats", type=int, default=8, help="runs of the slowest method")
    main(parser, RESULT, measure, text, tables)
