"""The softmax over very many tokens: all logits at once, and a part at a time.

    python benchmarks/item_softmax.py             measure, print, write benchmarks/results/item_softmax.json
    python benchmarks/item_softmax.py --table     print the table of docs/sft.md from that file

A catalogue of one-token items (`score: trie`), and answers of four tokens among a language model's vocabulary
(`score: vocabulary`). Each row is a process of its own, which scores answers and takes their gradients;
memory is the most that it held beyond what it held before.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from report import Result, Shown, machine, machine_text, main
from torch import Tensor

from lasar_kit.core import token_logp
from lasar_kit.core.scoring import Score
from lasar_kit.core.values import SidTable
from lasar_kit.model.answers import AnswerScorer

RESULT = Path(__file__).parent / "results" / "item_softmax.json"
WIDTH, REPEATS = 64, 2
ROWS: tuple[tuple[int, int, int, Score], ...] = (
    (10_000, 4096, 1, "trie"),
    (100_000, 4096, 1, "trie"),
    (1_000_000, 512, 1, "trie"),
    (151_936, 1024, 4, "vocabulary"),
)
"""Tokens to choose among, answers of an update, tokens of an answer, and the score."""
WHOLE = 2**62
KEYS = (("megabytes", 0), ("seconds", 2))


class Head(torch.nn.Module):
    """Logits by a table of tokens."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.tokenizer = range(count)
        self.weight = torch.nn.Parameter(torch.randn(count, WIDTH) / WIDTH**0.5)

    def logits(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Return products with the rows of some tokens."""
        return hidden @ (self.weight if tokens is None else self.weight[tokens]).T


def _held() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def one(row: int, whole: bool) -> Result:
    """Score answers and take gradients, in this process."""
    many, count, length, score = ROWS[row]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    head, states = Head(many), torch.randn(count, length, WIDTH, requires_grad=True)
    scorer = AnswerScorer(SidTable(torch.arange(many)[:, None]), score, "cpu")
    if whole:
        token_logp.CELLS = WHOLE
    chosen = torch.randint(many, (count, length))
    head.weight.grad = torch.zeros_like(head.weight)
    before, seconds, loss = _held(), [], torch.zeros(())
    for _ in range(REPEATS):
        began = time.perf_counter()
        loss = -scorer.logp(head, states, chosen).mean()
        loss.backward()
        seconds.append(time.perf_counter() - began)
    return {"seconds": median(seconds), "megabytes": _held() - before, "loss": loss.item()}


def measure(arguments: argparse.Namespace) -> Result:
    """All rows, each in its own process."""
    rows: list[Result] = []
    for row, (many, count, length, score) in list(enumerate(ROWS))[: arguments.rows]:
        rows.append({"score": score, "among": many, "answers": count * length})
        for way in ("whole", "parts"):
            command = [sys.executable, __file__, "--one", str(row), way]
            rows[-1][way] = json.loads(subprocess.check_output(command))
    return {**machine(), "threads": 1, "width": WIDTH, "rows": rows}


def text(result: Result) -> str:
    """What was measured."""
    return (
        f"Loss and gradients of tokens by states of {result['width']}, the median of {REPEATS}; "
        f"{machine_text(result)}."
    )


def tables(result: Result) -> Sequence[Shown]:
    """A row a score and a number of tokens."""
    header = ("score", "among", "tokens scored", "at once, MB", "s", "in parts, MB", "s", "memory", "time")
    rows = []
    for row in result["rows"]:
        whole, parts = row["whole"], row["parts"]
        rows.append(
            [
                row["score"],
                *(f"{row[key]:,}" for key in ("among", "answers")),
                *(f"{way[key]:,.{places}f}" for way in (whole, parts) for key, places in KEYS),
                *(f"{parts[key] / whole[key]:.2f} x" for key, _ in KEYS),
            ]
        )
    return [(header, rows)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(int(sys.argv[2]), sys.argv[3] == "whole")))
    else:
        own = argparse.ArgumentParser(description=__doc__)
        own.add_argument("--rows", type=int, default=len(ROWS), help="the first of them alone")
        main(own, RESULT, measure, text, tables)
