"""What it costs to search among some items only, by how many are allowed and how large the catalogue is.

    python benchmarks/constrained.py             measure, print, write benchmarks/results/constrained.json
    python benchmarks/constrained.py --table     print the table of docs/decoding.md from that file

A model of random weights, random codes, and for each user other items, drawn by a seed. Times are medians of
searches behind one reading of the prompts, those among all items and those among some by turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import report
import torch
from decode import ENV, MODEL, catalogue, read, seconds

from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.core.trie import OpenNodes
from lasar_kit.core.values import Beams, SidTable
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam

RESULT = Path(__file__).parent / "results" / "constrained.json"
SHARES: dict[str, Callable[[int], tuple[int, bool]]] = {
    "10": lambda items: (10, True),
    "1,000": lambda items: (1000, True),
    "half": lambda items: (items // 2, True),
    "all but 50": lambda items: (50, False),
    "all but none": lambda items: (0, False),
}
"""How many items each user's limit names, of so many, and whether these alone are allowed."""


def limits(items: int, users: int, name: str) -> list[Limit]:
    """Limits of a kind, for each user other items."""
    count, only = SHARES[name](items)
    rng = np.random.default_rng(5)
    return [Limit(rng.permutation(items)[:count], only) for _ in range(users)]


def row(decoder: TrieBeam, backbone: Qwen3Backbone, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One catalogue and one kind of limit."""
    items = len(decoder.trie.place)
    chosen = limits(items, args.batch, name)
    allowed = Allowed.of(chosen)
    ids = torch.randint(3, 259, (args.batch, args.prompt), generator=torch.Generator().manual_seed(2))
    trace = read(backbone, ids)
    free, among, prepared = [], [], []
    for _ in range(args.repeats):
        free.append(seconds(lambda: decoder.search(backbone, trace, args.width)))
        among.append(seconds(lambda: decoder.search_among(backbone, trace, args.width, allowed)))
        prepared.append(seconds(lambda: OpenNodes(decoder.trie, allowed)))
    beams = decoder.search_among(backbone, trace, args.width, allowed)
    return {
        "items": items,
        "allowed": name,
        "free_ms": 1000 * median(free),
        "among_ms": 1000 * median(among),
        "prepare_ms": 1000 * median(prepared),
        "kilobytes_a_user": OpenNodes(decoder.trie, allowed).named.of_places.nbytes / args.batch / 1024,
        "found": int(beams.valid.sum(-1).min()),
        "all_allowed": holds(beams, chosen),
    }


def holds(beams: Beams, chosen: list[Limit]) -> bool:
    """Whether each list holds allowed items alone (of a catalogue where no two items share a SID)."""
    lists = zip(beams.items[:, 0].numpy(), chosen, strict=True)
    return all(limit.holds(items[items >= 0]).all() for items, limit in lists)


def distinct(backbone: Qwen3Backbone, items: int) -> SidTable:
    """A catalogue in which no two items share a SID."""
    return SidTable(torch.unique(catalogue(backbone, items), dim=0))


def measure(args: argparse.Namespace) -> report.Result:
    """All catalogues, and all kinds of limits that fit."""
    backbone = Qwen3Backbone(MODEL, ENV).eval()
    rows, tries = [], []
    with torch.inference_mode():
        for items in args.catalogues:
            decoder = TrieBeam(TrieBeamConfig(use="trie_beam"), ENV)
            decoder.bind(distinct(backbone, items))
            places = (decoder.trie.place, *decoder.trie.span)
            kept = sum(part.untyped_storage().nbytes() for part in places)  # begins and ends are one array
            tries.append({"items": items, "megabytes": kept / 2**20})
            rows += [row(decoder, backbone, name, args) for name in SHARES if SHARES[name](items)[0] <= items]
    sizes = {name: getattr(args, name) for name in ("batch", "prompt", "width", "repeats")}
    return {**report.machine(), "sizes": sizes, "tries": tries, "rows": rows}


def text(result: report.Result) -> str:
    """What was measured."""
    sizes = result["sizes"]
    full = all(row["all_allowed"] for row in result["rows"])
    tries = ", ".join(f"{row['megabytes']:.1f} MB for {row['items']:,} items" for row in result["tries"])
    return (
        f"Batch {sizes['batch']}, {sizes['width']} beams; {report.machine_text(result)}. Lists hold allowed "
        f"items {'alone' if full else 'AND OTHERS'}. Beside its tables the trie keeps where the items of "
        f"each node stand: {tries}."
    )


def tables(result: report.Result) -> list[report.Shown]:
    """A row for each catalogue and kind of limit."""
    header = (
        "items",
        "allowed",
        "found",
        "search of all, ms",
        "among these, ms",
        "preparing, ms",
        "kB a user",
    )
    rows = [
        (
            f"{row['items']:,}",
            row["allowed"],
            str(row["found"]),
            f"{row['free_ms']:.0f}",
            f"{row['among_ms']:.0f}",
            f"{row['prepare_ms']:.1f}",
            f"{row['kilobytes_a_user']:,.1f}",
        )
        for row in result["rows"]
    ]
    return [(header, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--width", type=int, default=50, help="beams")
    parser.add_argument("--catalogues", type=int, nargs="*", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--repeats", type=int, default=5)
    report.main(parser, RESULT, measure, text, tables)


if __name__ == "__main__":
    main()
