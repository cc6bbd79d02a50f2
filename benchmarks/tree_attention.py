"""Attention through the token tree: SDPA with the tree as a mask, FlexAttention, the causal kernel.

    python benchmarks/tree_attention.py           measure, print, write results/tree_attention.json
    python benchmarks/tree_attention.py --table   print the table of docs/speed.md from that file

One layer's attention, forwards, of chains with branches: what packed histories with thoughts are, and a step
of a beam search. The causal kernel reads as many tokens as one chain, which is wrong, and no slower than any
that is right. FlexAttention is compiled for each shape; that is not counted. Wants a C++ compiler on a CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import torch
from decode import seconds
from report import Result, Shown, machine, machine_text, main
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from lasar_kit.core.token_tree import additive, extend

RESULT = Path(__file__).parent / "results" / "tree_attention.json"
HEADS, SHARED, WIDTH = 8, 4, 32
TREES = {
    "packed history of 32 items, 5 tokens at each": (8, 128, 32, 5),
    "packed history of 128 items, 5 tokens at each": (2, 512, 128, 5),
    "prompt and 50 beams": (8, 140, 50, 1),
}
"""Rows, tokens of the chain, branches at even distances on it, tokens of each."""


def parents(rows: int, chain: int, branches: int, length: int) -> Tensor:
    """What each token hangs on, [rows, tokens]."""
    trunk = torch.arange(-1, chain - 1)
    at = torch.arange(1, branches + 1) * chain // branches - 1
    node = chain + torch.arange(branches * length).view(branches, length)
    hung = torch.cat([at[:, None], node[:, :-1]], dim=1)
    return torch.cat([trunk, hung.flatten()]).expand(rows, -1)


def compared(sizes: tuple[int, int, int, int], repeats: int, device: str) -> dict[str, Any]:
    """Milliseconds of each way, by turns; those of making its mask; and how far results are apart."""
    parent = parents(*sizes).to(device)
    _, seen, _ = extend(None, parent)
    assert seen is not None, "a tree with branches is no chain"
    rows, count = parent.shape
    draw = torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(rows, heads, count, WIDTH, generator=draw, device=device)
        for heads in (HEADS, SHARED, SHARED)
    )
    visible = seen[0]
    mask = additive(seen, q.dtype)

    def block() -> Any:
        return create_block_mask(lambda b, h, i, j: visible[i, j], None, None, count, count, device=device)

    wait = torch.cuda.synchronize if device == "cuda" else int
    blocks = block()
    torch.compiler.reset()
    flex: Any = torch.compile(flex_attention, dynamic=False)
    ways = {
        "causal": lambda: scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
        "mask": lambda: scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True),
        "flex": lambda: flex(q, k, v, block_mask=blocks, enable_gqa=True),
        "mask made": lambda: additive(seen, q.dtype),
        "flex made": block,
    }
    gap = (ways["mask"]() - ways["flex"]()).abs().max().item()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            times[name].append(seconds(lambda way=way: (way(), wait())))
    milliseconds = {name: 1000 * median(found) for name, found in times.items()}
    return {"nodes": count, "seen": visible.float().mean().item(), "gap": gap, "ms": milliseconds}


@torch.no_grad()
def measure(args: argparse.Namespace) -> Result:
    """All trees."""
    found = {name: compared(sizes, args.repeats, args.device) for name, sizes in TREES.items()}
    return {**machine(), "device": args.device, "trees": found}


def text(result: Result) -> str:
    """Return the lines above the table."""
    gap = max(found["gap"] for found in result["trees"].values())
    return (
        f"A layer of {HEADS} heads over {SHARED} of keys, width {WIDTH}, float32, {result['device']}; "
        f"results within {gap:.0e}; {machine_text(result)}."
    )


def tables(result: Result) -> list[Shown]:
    """A row a tree."""
    header = ["tree", "tokens", "seen", "causal, ms", "SDPA, ms", "its mask", "FlexAttention, ms", "its mask"]
    rows = [
        [
            name,
            f"{found['nodes']:,}",
            f"{found['seen']:.0%}",
            *(f"{found['ms'][way]:.1f}" for way in ("causal", "mask", "mask made", "flex", "flex made")),
        ]
        for name, found in result["trees"].items()
    ]
    return [(header, rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    main(parser, RESULT, measure, text, tables)
