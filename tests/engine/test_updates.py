"""An update is the same however its batch is split, and follows its schedule."""

import math
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

from lasar_kit.stages.sft.step import SftResult
from lasar_kit.train.config import OptimizerConfig
from lasar_kit.train.updater import Term, Updater, adamw

TERMS = {"error": Term(1.0, 6), "size": Term(0.5, 2), "absent": Term(3.0, 0)}


class SquaredError(nn.Module):
    """Sum of squared errors of a linear model."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[0.5, -1.0, 2.0]]))
            self.linear.bias.fill_(0.1)

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> SftResult:
        inputs, target = batch
        predicted = self.linear(inputs)[:, 0]
        return SftResult({"error": (predicted - target).square().sum(), "size": predicted.abs().sum()})


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, generator=generator), torch.randn(6, generator=generator)


def trained(
    splits: list[list[int]], weights: list[float], updates: int = 3
) -> tuple[list[torch.Tensor], list[float]]:
    inputs, target = data()
    step = SquaredError()
    updater = Updater(Accelerator(), step, OptimizerConfig(lr=0.1, clip=1.0), updates)
    losses = []
    for _ in range(updates):
        passes = [
            (lambda rows=rows: (inputs[rows], target[rows]), weight)
            for rows, weight in zip(splits, weights, strict=True)
        ]
        losses.append(updater.update(passes, TERMS).loss)
    return [p.detach().clone() for p in step.parameters()], losses


class Sharding(Accelerator):
    """Says that weights are sharded, and leaves them whole."""

    distributed_type = DistributedType.FSDP  # type: ignore[assignment]

    def prepare(self, *parts: Any) -> Any:  # type: ignore[override]
        return parts


def test_weights_of_objectives_are_none_of_the_whole_copy_of_a_sharded_model() -> None:
    step: Any = nn.ModuleDict({"recommender": nn.Linear(3, 1), "learning": nn.Linear(1, 1)})
    step.recommender = step["recommender"]
    updater = Updater(Sharding(), step, OptimizerConfig(), 1)
    with torch.no_grad():
        step.recommender.weight.fill_(7.0)
    copy = updater.readable()
    assert copy is not step.recommender
    assert copy.weight.tolist() == [[7.0] * 3]


def test_splitting_a_batch_changes_nothing() -> None:
    whole, losses = trained([[0, 1, 2, 3, 4, 5]], [1.0])
    split, split_losses = trained([[0], [1, 2, 3], [4, 5], [0, 1]], [1.0, 1.0, 1.0, 0.0])
    assert losses == pytest.approx(split_losses, rel=1e-6)
    for ours, theirs in zip(whole, split, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_an_update_is_that_of_torch() -> None:
    """The mean loss, clipped to norm 1, by torch's own AdamW at the schedule's first rates."""
    inputs, target = data()
    ours, _ = trained([[0, 1, 2, 3, 4, 5]], [1.0])
    step = SquaredError()
    config = OptimizerConfig(lr=0.1)
    reference = torch.optim.AdamW(
        [
            {"params": [step.linear.weight], "weight_decay": 0.01},
            {"params": [step.linear.bias], "weight_decay": 0.0},
        ],
        lr=0.1,
        betas=config.betas,
    )
    for done in range(3):
        for group in reference.param_groups:  # no warmup in 3 updates: half a cosine from the first on
            group["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * done / 3))
        reference.zero_grad()
        sums = step((inputs, target)).sums
        (sums["error"] / 6 + 0.5 * sums["size"] / 2).backward()
        torch.nn.utils.clip_grad_norm_(step.parameters(), 1.0)
        reference.step()
    for mine, theirs in zip(ours, step.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_vectors_are_not_decayed_and_frozen_weights_not_held() -> None:
    step = SquaredError()
    groups = adamw(step, OptimizerConfig(weight_decay=0.3)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.3), (1, 0.0)]
    step.linear.bias.requires_grad_(False)
    assert len(adamw(step, OptimizerConfig()).param_groups) == 1


def test_a_part_has_a_rate_of_its_own_and_follows_the_same_schedule() -> None:
    """Adam's first step is its rate, whatever the gradient; warmup is over after one of two updates."""
    step = nn.ModuleDict({"answers": nn.Linear(2, 1), "depth": nn.Linear(2, 1)})
    groups = adamw(step, OptimizerConfig(lr=1e-3), {"depth": 0.1}).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert [rates[id(p)] for p in step.parameters()] == [1e-3, 1e-3, 0.1, 0.1]
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0, 0.01, 0.0]
    config = OptimizerConfig(lr=1e-3, warmup=0.5, weight_decay=0)
    run = SquaredError()
    updater = Updater(Accelerator(cpu=True), run, config, 2, rates={"linear": 0.1})
    before = [p.detach().clone() for p in run.parameters()]
    moved = []
    for _ in range(2):
        updater.update([(lambda: (torch.ones(1, 3), torch.ones(1)), 1.0)], {"error": Term(1.0, 1)})
        moved.append(float((before[0] - run.linear.weight.detach()).abs().max()))
    assert moved == [0, pytest.approx(0.1, rel=1e-3)]
