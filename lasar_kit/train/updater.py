"""Optimiser updates over all processes: AdamW, its schedule, accumulation, clipping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType, set_seed
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from lasar_kit.model.precision import autocast
from lasar_kit.process.faults import NotFinite
from lasar_kit.spec.compilation import Compiler
from lasar_kit.spec.precision import Precision
from lasar_kit.train.compiled import compile_blocks
from lasar_kit.train.config import OptimizerConfig


def training_processes(seed: int) -> Accelerator:
    """The processes of a training stage; dropout differs between them, all else has generators of its own.

    A parameter that a loss does not reach (a policy's, where only answers are trained) is left alone, as it
    is on one process.
    """
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    set_seed(seed, device_specific=True)
    return accelerator


def adamw(
    module: nn.Module, config: OptimizerConfig, rates: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """AdamW over all that is trainable; vectors (norms, biases) are not decayed.

    `rates` are peak learning rates of their own, by the name of a part of the module.
    """
    groups: list[dict[str, Any]] = []
    own = {
        id(p): rate for name, rate in (rates or {}).items() for p in module.get_submodule(name).parameters()
    }
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for rate in dict.fromkeys((config.lr, *own.values())):
        parts = [p for p in trained if own.get(id(p), config.lr) == rate]
        groups += [
            {"params": [p for p in parts if p.ndim > 1], "lr": rate, "weight_decay": config.weight_decay},
            {"params": [p for p in parts if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        ]
    # On GPUs in one kernel, which reads and writes each number once.
    fused = all(parameter.device.type == "cuda" for parameter in trained)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], betas=config.betas, fused=fused or None
    )


def scheduled(optimizer: Any, config: OptimizerConfig, updates: int) -> Any:
    """The learning rate of each of so many updates."""
    warmup = round(config.warmup * updates)
    if config.schedule == "constant":
        return get_constant_schedule_with_warmup(optimizer, warmup)
    return get_cosine_schedule_with_warmup(optimizer, warmup, updates)


@dataclass(frozen=True)
class Update:
    """One update's numbers: its loss, the mean of each term, the norm of the gradient before clipping, the
    learning rate, and the step's result of each pass of this process."""

    loss: float
    terms: Mapping[str, float]
    grad_norm: float
    lr: float
    results: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Sums:
    """A step's sums over a batch: each loss over what it counts there, by term."""

    sums: Mapping[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class Term:
    """A term of the loss: its weight, and over how many things of the *global* batch its sum is averaged."""

    weight: float
    count: int


class Updater:
    """Turns losses into updates.

    `step(batch)` returns a result whose `sums` are a batch's losses by term (`Sums`, or more); an update
    divides each by its count in the global batch, so that it is the same however the batch is split over
    passes and processes. `step.recommender` is what is validated and saved.
    `precision` is that of the forward passes; `compiler` compiles the backbone's blocks.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        step: nn.Module,
        config: OptimizerConfig,
        updates: int,
        precision: Precision = "fp32",
        rates: Mapping[str, float] | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.precision: Precision = precision
        self.clip = config.clip
        self.plain: Any = step
        sharded = accelerator.distributed_type == DistributedType.FSDP
        self.replica: Any = copy.deepcopy(step.recommender) if sharded else None
        if compiler:
            compile_blocks(step.get_submodule("recommender.backbone"), compiler)
        self.step, self.optimizer = accelerator.prepare(step, adamw(step, config, rates))
        # Not prepared: accelerate would step it once a process, and `updates` counts global ones.
        self.schedule: Any = scheduled(self.optimizer, config, updates)

    def readable(self) -> Any:
        """The step's recommender with whole weights, for what reads it outside the step's forward.

        Where weights are sharded, a copy, on every process; all must ask for it.
        """
        if self.replica is None:
            return self.plain.recommender
        state = get_model_state_dict(self.step, options=StateDictOptions(full_state_dict=True))
        own = "recommender."  # objectives may have weights too
        ours = {name.removeprefix(own): value for name, value in state.items() if name.startswith(own)}
        self.replica.load_state_dict(ours)
        return self.replica

    @torch.no_grad()
    def depths(self, batch: Any) -> Tensor:
        """How long a step of SFT will think about each prompt of a batch, by the weights as they are."""
        with autocast(self.accelerator.device, self.precision):
            found: Tensor = self.step(batch, choosing=True).depth
        return found

    def update(self, passes: Sequence[tuple[Callable[[], Any], float]], terms: Mapping[str, Term]) -> Update:
        """One update, or `NotFinite` and none; `passes` are this process's batches, made when needed, each
        with its weight.

        A process that has no sample of the global batch still passes one, of weight 0: all processes must
        take part in the exchange of gradients.
        """
        lr = float(self.schedule.get_last_lr()[0])
        means = torch.zeros(len(terms), device=self.accelerator.device)
        results = []
        for index, (make, weight) in enumerate(passes):
            waits = index + 1 < len(passes)
            with self.accelerator.no_sync(self.step) if waits else nullcontext():
                with autocast(self.accelerator.device, self.precision):
                    result = self.step(make())
                results.append(result)
                sums = result.sums
                averages = [
                    sums[name] / max(t.count, 1) if name in sums else means.new_zeros(())
                    for name, t in terms.items()
                ]
                loss = sum(t.weight * mean for t, mean in zip(terms.values(), averages, strict=True))
                # A distributed wrapper takes the mean of the gradients over processes; this loss is a sum.
                self.accelerator.backward(loss * (weight * self.accelerator.num_processes))
            means += weight * torch.stack([mean.detach() for mean in averages])
        norm: Any = self.accelerator.clip_grad_norm_(self.step.parameters(), self.clip)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of sharded weights
        every: Any = self.accelerator.reduce(means, reduction="sum")
        length = means.new_zeros(()) if norm is None else norm.to(means)
        *found, length = torch.stack([*every, length]).tolist()  # the one look before the weights change
        values = dict(zip(terms, found, strict=True))
        total = sum(terms[name].weight * value for name, value in values.items())
        self._check(total, length)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return Update(total, values, length, lr, tuple(results))

    def _check(self, loss: float, norm: float) -> None:
        """Loss and gradient are the same on all processes, so all of them stop or none."""
        for name, value in (("loss", loss), ("norm of the gradient", norm)):
            if not math.isfinite(value):
                self.optimizer.zero_grad()
                raise NotFinite(f"the {name} is {value}")
