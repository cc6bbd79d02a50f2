"""What processes tell each other, without a recommender; part of `answers.py`."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from lasar_kit.process import world
from lasar_kit.stages.sft.step import SftResult
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater, training_processes


class Half(nn.Module):
    """Of its two weights the loss reaches one."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, inputs: torch.Tensor) -> SftResult:
        return SftResult({"size": self.used(inputs).square().sum()})


def unreached() -> list[float]:
    """A weight that no loss reaches, after three updates."""
    torch.manual_seed(0)
    module = Half()
    updater = Updater(training_processes(0), module, OptimizerConfig(lr=0.1, warmup=0, weight_decay=0.5), 3)
    for _ in range(3):
        updater.update([(lambda: torch.ones(2, 2), 1.0)], {"size": Term(1.0, 4)})
    kept: list[float] = module.unused.weight.detach().flatten().tolist()
    return kept


def together() -> dict[str, Any]:
    """Exchange numbers between processes; the second has some that the first lacks, and a smaller say."""
    rank = int(os.environ.get("RANK", 0))
    numbers = {"all": rank + 1.0, "a_min": rank - 3.0, "b_min": -rank, "a_max": rank - 7.0, "b_max": -rank}
    numbers |= {"second": 5.0, "second_max": -4.0, "second_min": 6.0} if rank == 1 else {}
    return {
        "shares": world.in_shares(range(7), lambda n: n * n),
        "mean": world.world_mean(numbers, 1.0 if rank else 3.0),
        "nobody": world.world_mean(numbers, 0.0 if rank else 2.0),
        "max": world.world_max(torch.tensor([3, rank * 9])),
        "sum": world.world_sum(torch.tensor([1, rank])).tolist(),
        "main": world.from_main(lambda: rank),
    }
