"""Constrained decoding: `trie_beam` against transformers' `generate`, and what the constraint itself costs.

    python benchmarks/decode.py             measure, print, write benchmarks/results/decode.json
    python benchmarks/decode.py --table     print the table of docs/decoding.md from that file

All methods run in this one process on one model of random weights, their repeats interleaved so that a noisy
machine is noisy for all; figures are medians. All three must return the same ranked items.

Run it on cores that nothing else uses, and leave OMP_WAIT_POLICY alone: torch's threads then wait actively,
which suits the many short operations of a search. Beside other work active waiting costs more than it gains.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.trie import candidates
from lasar_kit.core.values import Env, LatentTrace, SidTable
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.latent_loop.none.config import NoLoopConfig
from lasar_plugins.latent_loop.none.loop import NoLoop

RESULT = Path(__file__).parent / "results" / "decode.json"
LEVELS, CODES = 4, 256
ENV = Env(seed=0, vocabulary=(*sid_tokens((CODES,) * LEVELS), *LATENT_TOKENS))
MODEL = Qwen3Config(use="qwen3", hidden_size=256, layers=9, heads=8, kv_heads=4, intermediate_size=1024)
METHODS = {
    "prefill": "reading the prompts alone",
    "trie_beam": "trie_beam, prompts included",
    "generate_trie": "generate, vectorised trie processor",
    "generate_prefix_fn": "generate, prefix_allowed_tokens_fn",
}


class TrieProcessor(LogitsProcessor):
    """A trie as one table of transitions; every beam's node is found again from its tokens at each step.

    Columns of the table are the tokens from the catalogue's least to its greatest.
    """

    def __init__(self, table: Tensor, prompt: int) -> None:
        self.prompt, self.first = prompt, int(table.min())
        self.width = int(table.max()) + 1 - self.first
        self.steps: list[Tensor] = []
        node = torch.zeros_like(table[:, 0])
        for column in table.T:
            key, child = torch.unique(node * self.width + column - self.first, return_inverse=True)
            shape = (int(node.max()) + 1, self.width)
            step = torch.full(shape, -1, dtype=torch.int32, device=table.device)
            numbers = torch.arange(len(key), dtype=torch.int32, device=table.device)
            step[key // self.width, key % self.width] = numbers
            self.steps.append(step)
            node = child

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        node = torch.zeros_like(input_ids[:, 0])
        for step, token in zip(self.steps, input_ids[:, self.prompt :].T, strict=False):
            own_token = (token - self.first).clamp(0, self.width - 1)
            node = step[node, own_token].long().clamp_min(0)
        allowed = self.steps[input_ids.shape[1] - self.prompt][node] >= 0
        own = slice(self.first, self.first + self.width)
        found = torch.full_like(scores, -torch.inf)
        found[:, own] = scores[:, own].masked_fill(~allowed, -torch.inf)
        return found


def prefix_function(table: Tensor, prompt: int) -> Callable[[int, Tensor], list[int]]:
    """The tokens that may follow, from a dictionary of prefixes."""
    follow: dict[tuple[int, ...], set[int]] = {}
    for row in table.tolist():
        for level, token in enumerate(row):
            follow.setdefault(tuple(row[:level]), set()).add(token)
    allowed = {prefix: sorted(tokens) for prefix, tokens in follow.items()}
    return lambda _, ids: allowed.get(tuple(ids[prompt:].tolist()), [0])


def catalogue(backbone: Qwen3Backbone, items: int, levels: int = LEVELS) -> Tensor:
    """SIDs of random codes, where the backbone is."""
    codes = torch.randint(0, CODES, (items, levels), generator=torch.Generator().manual_seed(1))
    tokens = codes + backbone.tokenizer.convert_tokens_to_ids("<a_0>") + CODES * torch.arange(levels)
    return tokens.to(backbone.model.device)


def read(backbone: Qwen3Backbone, ids: Tensor) -> LatentTrace:
    """Prompts without pads, read, and nothing thought."""
    hidden, context = backbone.advance(backbone.embed(ids), chain_parents(torch.ones_like(ids).bool()), None)
    tip = torch.full_like(ids[:, :1], ids.shape[1] - 1)
    loop = NoLoop(NoLoopConfig(use="none"), ENV)
    prompt = replace(prompt_of(hidden[:, -1:]), tip=tip, context=context)
    return loop.run(backbone, prompt, torch.zeros_like(tip), 0)


def generate(
    backbone: Qwen3Backbone, ids: Tensor, width: int, levels: int = LEVELS, **constraint: Any
) -> tuple[Tensor, Tensor]:
    """Sequences [B, W, M] and scores [B, W] of transformers' beam search."""
    out = backbone.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        num_beams=width,
        num_return_sequences=width,
        min_new_tokens=levels,
        max_new_tokens=levels,
        do_sample=False,
        length_penalty=0.0,
        eos_token_id=None,
        return_dict_in_generate=True,
        output_scores=True,
        **constraint,
    )
    shape = (len(ids), width)
    return out.sequences[:, ids.shape[1] :].view(*shape, levels), out.sequences_scores.view(shape)


def seconds(run: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(backbone: Qwen3Backbone, args: argparse.Namespace) -> dict[str, Any]:
    """Times of all methods on the same prompts, and whether their answers agree."""
    table = catalogue(backbone, args.items)
    ids = torch.randint(3, 259, (args.batch, args.prompt), generator=torch.Generator().manual_seed(2))
    decoder = TrieBeam(TrieBeamConfig(use="trie_beam"), ENV)
    decoder.bind(SidTable(table))
    processor = LogitsProcessorList([TrieProcessor(table, args.prompt)])
    allowed = prefix_function(table, args.prompt)
    methods: dict[str, Callable[[], Any]] = {
        "prefill": lambda: read(backbone, ids),
        "trie_beam": lambda: decoder.search(backbone, read(backbone, ids), args.width),
        "generate_trie": lambda: generate(backbone, ids, args.width, logits_processor=processor),
        "generate_prefix_fn": lambda: generate(backbone, ids, args.width, prefix_allowed_tokens_fn=allowed),
    }
    beams = methods["trie_beam"]()
    answers = [methods[name]() for name in ("generate_trie", "generate_prefix_fn")]  # warm-up as well
    ours = table[beams.items[:, 0]]
    times: dict[str, list[float]] = {name: [] for name in methods}
    for repeat in range(args.repeats * 3):
        for name in list(methods)[: 4 if repeat % 3 == 0 else 2]:  # the quick ones three times as often
            times[name].append(seconds(methods[name]))
    per_user = {name: 1000 * median(taken) / args.batch for name, taken in times.items()}
    return {
        "items": args.items,
        "ms_per_user": per_user,
        "users_per_second": {name: 1000 / ms for name, ms in per_user.items()},
        "speedup": {name: ms / per_user["trie_beam"] for name, ms in per_user.items() if "generate" in name},
        "total_over_prefill": per_user["trie_beam"] / per_user["prefill"],
        "identical_sequences": all(torch.equal(ours, sequences) for sequences, _ in answers),
        "largest_score_difference": max(float((beams.logp[:, 0] - s).abs().max()) for _, s in answers),
    }


def constraint(backbone: Qwen3Backbone, items: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the trie's cost a step on a catalogue of `items`, beside a whole search on that catalogue.

    Timed are the look-up of children, their mask and the choice of their logits, for beams at random nodes.
    """
    table = SidTable(catalogue(backbone, items))
    decoder = TrieBeam(TrieBeamConfig(use="trie_beam"), ENV)
    build = seconds(lambda: decoder.bind(table))
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(args.batch, 1, args.width, backbone.model.config.vocab_size, generator=generator)
    nodes, steps = 1, []
    for level in decoder.trie.levels:
        shape = (50, args.batch, 1, 1 if nodes == 1 else args.width)
        beams = torch.randint(0, nodes, shape, generator=generator)
        seen = logits[:, :, : shape[-1]]
        taken = [seconds(lambda n=node, lv=level, x=seen: candidates(lv, n, x)) for node in beams]
        steps.append(1000 * median(taken))
        nodes = int(level.children(torch.arange(nodes)[-1:]).max()) + 1
    ids = torch.randint(3, 259, (args.batch, args.prompt), generator=generator)
    trace = read(backbone, ids)
    decoder.search(backbone, trace, args.width)
    search = 1000 * median(
        [seconds(lambda: decoder.search(backbone, trace, args.width)) for _ in range(args.repeats)]
    )
    return {
        "items": items,
        "build_seconds": build,
        "step_ms": sum(steps) / len(steps),
        "step_ms_by_level": steps,
        "search_ms": search,
        "share_of_search": sum(steps) / search,
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All of it, with what it was measured on."""
    backbone = Qwen3Backbone(MODEL, ENV).eval()
    backbone.model.generation_config.pad_token_id = 0
    transformers.utils.logging.set_verbosity_error()
    with torch.inference_mode():
        return {
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "threads": torch.get_num_threads(),
            "parameters": sum(weight.numel() for weight in backbone.parameters()),
            "vocabulary": backbone.model.config.vocab_size,
            "sizes": {name: getattr(args, name) for name in ("batch", "prompt", "width", "repeats")},
            "compare": compare(backbone, args),
            "constraint": [constraint(backbone, items, args) for items in args.catalogues],
        }


def tables(result: dict[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of the two tables."""
    found = result["compare"]
    base = found["ms_per_user"]["trie_beam"]
    speeds = [
        [METHODS[name], f"{found['users_per_second'][name]:.3g}", f"{ms:.1f}", f"{ms / base:.1f}"]
        for name, ms in found["ms_per_user"].items()
    ]
    costs = [
        [
            f"{row['items']:,}",
            f"{row['build_seconds']:.1f}",
            f"{row['step_ms']:.2f}",
            f"{row['share_of_search']:.1%}",
        ]
        for row in result["constraint"]
    ]
    return [
        (["method", "users per second", "ms a user", "times trie_beam"], speeds),
        (["items", "trie built in s", "constraint a step in ms", "share of the search"], costs),
    ]


def markdown(result: dict[str, Any]) -> str:
    """Return the text between the markers of docs/decoding.md."""
    found, sizes = result["compare"], result["sizes"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    agree = "identical" if found["identical_sequences"] else "DIFFERENT"
    text = [
        f"{result['parameters'] / 1e6:.1f} M parameters, batch {sizes['batch']}, prompts of {sizes['prompt']}"
        f" tokens, {sizes['width']} beams, {found['items']:,} items, {result['threads']} CPU threads;"
        f" {versions}."
        f" Ranked sequences {agree}, scores within {found['largest_score_difference']:.0e}; the whole search"
        f" takes {found['total_over_prefill']:.1f} times the prefill."
    ]
    for header, rows in tables(result):
        text += ["", "| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
        text += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--width", type=int, default=50, help="beams")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--catalogues", type=int, nargs="*", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--repeats", type=int, default=3, help="runs of the slowest method")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--table", action="store_true", help="only print the markdown of --output")
    args = parser.parse_args()
    if args.table:
        print(markdown(json.loads(args.output.read_text())))
        return
    result = measure(args)
    for header, rows in tables(result):
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    print(markdown(result).splitlines()[0])
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
