"""Works out what training on many cards would take: memory, arithmetic and what goes over the links.

    python benchmarks/plan.py             print the table of docs/processes.md

Nothing is run. Shapes are those that Qwen3 was published with; how many operations a second a card does, and
what it keeps of a token for the backward pass, are taken from part c of benchmarks/results/gpu.jsonl (packed
SFT of 64 rows on one card); the rest are assumptions, named beside the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import Shown, markdown

MEASURED = Path(__file__).parent / "results" / "gpu.jsonl"
ROW = "sft float32 weights, bf16, trie, 64 x 512"
TOKENS = 64 * 512
CARD = 80e9
"""Bytes of a card."""
INSIDE, BETWEEN = 450e9, 50e9
"""Bytes a second that a card sends, within a machine of eight and from machine to machine."""
STATE = 4 + 4 + 8
"""Bytes a weight: itself, its gradient, Adam's two moments, all in float32."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen3."""

    name: str
    hidden: int
    layers: int
    heads: int
    mlp: int
    tied: bool
    groups: int = 8
    head: int = 128
    vocabulary: int = 151_936

    @property
    def of_layers(self) -> int:
        """Weights that every token is multiplied by, the table of tokens left out."""
        attention = 2 * self.hidden * self.head * (self.heads + self.groups)
        norms = 2 * self.hidden + 2 * self.head
        return self.layers * (attention + 3 * self.hidden * self.mlp + norms) + self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.of_layers + (1 if self.tied else 2) * self.vocabulary * self.hidden


SHAPES = (
    Shape("0.6B", 1024, 28, 16, 3072, tied=True),
    Shape("1.7B", 2048, 28, 16, 6144, tied=True),
    Shape("8B", 4096, 36, 32, 12288, tied=False),
)


@dataclass(frozen=True)
class Plan:
    """One model on some cards."""

    shape: Shape
    cards: int
    sharded: bool

    @property
    def state(self) -> float:
        """Bytes of weights, gradients and moments on a card; shards, and a whole copy to validate with."""
        whole = self.shape.parameters
        return STATE * whole / self.cards + 4 * whole if self.sharded else STATE * whole

    @property
    def sent(self) -> float:
        """Bytes that a card sends an update, in a ring: a sum over all cards is twice a gathering.

        Shards are gathered for the forward and again for the backward pass, and gradients scattered.
        """
        return (3 if self.sharded else 2) * (self.cards - 1) / self.cards * 4 * self.shape.parameters

    @property
    def seconds_sent(self) -> float:
        """What that takes where nothing is overlapped."""
        return self.sent / (INSIDE if self.cards <= 8 else BETWEEN)

    def tokens(self, kept: float) -> int:
        """Tokens that fit beside the state, in rows of 512; `kept`: bytes a token, layer and hidden unit."""
        room = CARD - self.state
        return max(int(room / (kept * self.shape.layers * self.shape.hidden)) // 512 * 512, 0)


def measured() -> tuple[float, float]:
    """Operations a second of a card, and bytes kept of a token for each layer and hidden unit."""
    lines = [json.loads(line) for line in MEASURED.read_text().splitlines()]
    row: dict[str, Any] = next(line for line in lines if line["part"] == "c" and line["name"] == ROW)
    small = SHAPES[0]
    kept = row["peak_gib"] * 2**30 - STATE * row["parameters"]
    return row["tflops"] * 1e12, kept / (TOKENS * small.layers * small.hidden)


def plans() -> Iterator[Plan]:
    """Every model on one machine and on two."""
    for shape in SHAPES:
        for cards in (8, 16):
            for sharded in (False, True):
                yield Plan(shape, cards, sharded)


def table() -> str:
    """Markdown of all plans."""
    speed, kept = measured()
    rows = []
    for plan in plans():
        tokens = plan.tokens(kept)
        label = f"{plan.shape.name}, {plan.cards} cards, {'FSDP2' if plan.sharded else 'DDP'}"
        if not tokens:
            rows.append([label, f"{plan.state / 1e9:.0f}", "does not fit", "", "", "", ""])
            continue
        seconds = 6 * plan.shape.of_layers * tokens / speed
        rows.append(
            [
                label,
                f"{plan.state / 1e9:.0f}",
                f"{tokens:,}",
                f"{seconds:.2f}",
                f"{plan.sent / 1e9:.1f}",
                f"{plan.seconds_sent:.3f}",
                f"{plan.seconds_sent / seconds:.0%}",
            ]
        )
    header = (
        "Qwen3",
        "state, GB",
        "tokens a card",
        "arithmetic, s",
        "sent, GB",
        "links, s",
        "links / arithmetic",
    )
    shown: Shown = (header, rows)
    text = (
        f"Assumed: cards of {CARD / 1e9:.0f} GB, {INSIDE / 1e9:.0f} GB/s from a card to another of its "
        f"machine of eight, {BETWEEN / 1e9:.0f} GB/s between machines. Measured on one H200: "
        f"{speed / 1e12:.0f} TFLOP/s, {kept:.0f} bytes kept of a token for each layer and hidden unit."
    )
    return markdown(text, [shown])


if __name__ == "__main__":
    print(table())
