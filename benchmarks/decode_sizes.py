"""A beam search by how many users, levels and beams it has, and where its time goes.

    python benchmarks/decode_sizes.py             measure, print, write benchmarks/results/decode_sizes.json
    python benchmarks/decode_sizes.py --table     print the tables of docs/decoding.md from that file

The model, the prompts and the peer are those of benchmarks/decode.py: transformers' `generate`, held to the
trie by a vectorised processor, once for each size that is not too large for it. Lists must be equal. One size
is changed at a time. Times are medians.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import decode
import torch
import transformers
from report import Result, Shown, machine, machine_text, main
from torch.profiler import ProfilerActivity, profile
from transformers import LogitsProcessorList

from lasar_kit.core.values import Env, SidTable
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam

RESULT = Path(__file__).parent / "results" / "decode_sizes.json"
MOST_LEVELS = 8
ENV = Env(seed=0, vocabulary=(*sid_tokens((decode.CODES,) * MOST_LEVELS), *LATENT_TOKENS))
PARTS = {
    "products": ("mm", "addmm", "bmm", "linear_pointwise"),
    "attention": ("scaled_dot_product",),
    "choice of beams": ("topk", "sort", "log_softmax", "logsumexp", "gather", "where", "masked_fill"),
    "the rest": ("",),
}
"""Operations by the beginnings of their names."""


class Size(NamedTuple):
    """Users at once, levels of a SID, and beams."""

    batch: int = 8
    levels: int = 4
    width: int = 50

    def times_the_prompt(self, prompt: int) -> float:
        """Tokens that are read, prompts included, a token of the prompts."""
        return 1 + (self.levels - 1) * self.width / prompt


SIZES = (
    *(Size(batch=batch) for batch in (1, 2, 8, 32, 64, 128, 256)),
    *(Size(levels=levels) for levels in (1, 2, 8)),
    *(Size(width=width) for width in (10, 100, 200, 500)),
)
PROFILED = (Size(batch=1), Size(), Size(batch=64), Size(width=500))


class Search:
    """Searches of one size, on one catalogue and the same prompts."""

    def __init__(self, backbone: Qwen3Backbone, size: Size, args: argparse.Namespace) -> None:
        self.backbone, self.size = backbone, size
        self.table = decode.catalogue(backbone, args.items, size.levels)
        generator = torch.Generator().manual_seed(2)
        self.ids = torch.randint(3, 259, (size.batch, args.prompt), generator=generator)
        self.decoder = TrieBeam(TrieBeamConfig(use="trie_beam"), ENV)
        self.decoder.bind(SidTable(self.table))

    def read(self) -> Any:
        """Read the prompts."""
        return decode.read(self.backbone, self.ids)

    def run(self) -> Any:
        """Read the prompts and search."""
        return self.decoder.search(self.backbone, self.read(), self.size.width)

    def generate(self) -> Any:
        """Do the same by transformers."""
        held = LogitsProcessorList([decode.TrieProcessor(self.table, self.ids.shape[1])])
        size = self.size
        return decode.generate(self.backbone, self.ids, size.width, size.levels, logits_processor=held)


def timed(search: Search, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds a user, of the peer as well where it is done in time."""
    size, taken = search.size, {"read": [], "run": []}  # type: tuple[Size, dict[str, list[float]]]
    beams = search.run()
    for _ in range(args.repeats):
        for name, times in taken.items():
            times.append(decode.seconds(getattr(search, name)))
    row = {name: 1000 * median(times) / size.batch for name, times in taken.items()}
    found: dict[str, Any] = {**size._asdict(), **row}
    if size.batch * size.width <= args.most:
        answers: list[Any] = []
        found["generate"] = 1000 * decode.seconds(lambda: answers.append(search.generate())) / size.batch
        found["equal"] = torch.equal(search.table[beams.items[:, 0]], answers[0][0])
    return found


def shares(search: Search) -> dict[str, float]:
    """Of one search, prompts included, what each part has of all time in operations."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        search.run()
    taken: Counter[str] = Counter()
    for event in seen.key_averages():
        _, _, name = event.key.rpartition("::")
        taken[part(name)] += event.self_cpu_time_total
    return {name: taken[name] / taken.total() for name in PARTS}


def part(operation: str) -> str:
    """The part that an operation of torch is counted in."""
    name = operation.lstrip("_")
    return next(of for of, beginnings in PARTS.items() if name.startswith(beginnings))


def measure(args: argparse.Namespace) -> Result:
    """All sizes, and what some are made of."""
    transformers.utils.logging.set_verbosity_error()
    backbone = Qwen3Backbone(decode.MODEL, ENV).eval()
    backbone.model.generation_config.pad_token_id = 0
    with torch.inference_mode():
        return {
            **machine(),
            "parameters": sum(weight.numel() for weight in backbone.parameters()),
            "prompt": args.prompt,
            "items": args.items,
            "rows": [timed(Search(backbone, size, args), args) for size in SIZES],
            "parts": [
                {**size._asdict(), "shares": shares(Search(backbone, size, args))} for size in PROFILED
            ],
        }


def text(result: Result) -> str:
    """Return the line above the tables."""
    compared = [row["equal"] for row in result["rows"] if "equal" in row]
    lists = "Lists are those of `generate`" if all(compared) else "LISTS DIFFER FROM THOSE OF `generate`"
    return (
        f"{result['parameters'] / 1e6:.1f} M parameters, prompts of {result['prompt']} tokens, "
        f"{result['items']:,} items; {machine_text(result)}. {lists} wherever it was run ({len(compared)})."
    )


def tables(result: Result) -> list[Shown]:
    """Times by size, and shares."""
    header = ["users", "levels", "beams", "prompts, ms a user", "with the search", "times", "tokens, times"]
    rows = [
        [
            *(str(row[name]) for name in Size._fields),
            f"{row['read']:.1f}",
            f"{row['run']:.1f}",
            f"{row['run'] / row['read']:.2f}",
            f"{Size(*(row[name] for name in Size._fields)).times_the_prompt(result['prompt']):.2f}",
            f"{row['generate'] / row['run']:.0f} x" if "generate" in row else "",
        ]
        for row in result["rows"]
    ]
    parts = [
        [*(str(row[name]) for name in Size._fields), *(f"{share:.0%}" for share in row["shares"].values())]
        for row in result["parts"]
    ]
    return [([*header, "`generate`"], rows), ([*header[:3], *PARTS], parts)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", type=int, default=128, help="tokens")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--most", type=int, default=800, help="beams of all users that `generate` is run on")
    parser.add_argument("--repeats", type=int, default=3)
    main(parser, RESULT, measure, text, tables)
