"""All that a training stage is between two updates, as tensors and JSON, and put back to the bit.

Names in `State.tensors`: `weight/NAME` for what is trained (and buffers), `optimizer/NAME/KEY` for what the
optimiser keeps of it, `objective/NAME/KEY`, `rng/RANK/DEVICE`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from lasar_kit.process.world import from_all, rank
from lasar_kit.train.checkpoints import State
from lasar_kit.train.updater import Updater


def capture(updater: Updater, objectives: Mapping[str, object], values: Mapping[str, Any]) -> State:
    """The state now, with `values` of the caller's; all processes must ask, the main one's is complete."""
    module, optimizer = _module(updater), updater.optimizer.optimizer
    tensors = {f"weight/{name}": _whole(tensor) for name, tensor in _trained(module)}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = _whole(value)
    for name, objective in _modules(objectives):
        for key, value in objective.state_dict().items():
            tensors[f"objective/{name}/{key}"] = value
    draws = []
    for number, (states, others) in enumerate(from_all(_draws(updater.accelerator.device))):
        tensors |= {f"rng/{number}/{device}": state for device, state in states.items()}
        draws.append(others)
    rates = [group["lr"] for group in optimizer.param_groups]
    own = {"draws": draws, "rates": rates, "schedule": updater.schedule.state_dict()}
    return State(tensors, {**values, "training": own})


def restore(updater: Updater, objectives: Mapping[str, object], state: State) -> bool:
    """Put a state back; whether random numbers go on too, which they cannot on more processes than it has."""
    module, optimizer = _module(updater), updater.optimizer.optimizer
    tensors, own = state.tensors, state.values["training"]
    with torch.no_grad():
        for name, tensor in _trained(module):
            tensor.copy_(_like(tensors[f"weight/{name}"], tensor))
    for name, parameter in module.named_parameters():
        kept = _below(tensors, f"optimizer/{name}/")
        if kept:
            # A step count stands on the CPU but where one kernel does all.
            counts = parameter.device if optimizer.defaults.get("fused") else "cpu"
            optimizer.state[parameter] = {
                key: value.to(counts) if value.ndim == 0 else _like(value, parameter)
                for key, value in kept.items()
            }
    for name, objective in _modules(objectives):
        objective.load_state_dict(_below(tensors, f"objective/{name}/"))
    for group, rate in zip(optimizer.param_groups, own["rates"], strict=True):
        group["lr"] = rate
    updater.schedule.load_state_dict(own["schedule"])
    number = rank()
    if number >= len(own["draws"]):
        return False
    _draw_on(_below(tensors, f"rng/{number}/"), own["draws"][number])
    return True


def can_be_kept(updater: Updater) -> bool:
    """Whether what is trained can be told by name: under DeepSpeed and the first FSDP it cannot."""
    kind = updater.accelerator.distributed_type
    if kind == DistributedType.FSDP:
        return any(isinstance(parameter, DTensor) for parameter in _module(updater).parameters())
    return kind == DistributedType.NO or str(kind.value).startswith("MULTI_")


def _module(updater: Updater) -> nn.Module:
    module: nn.Module = updater.accelerator.unwrap_model(updater.step)
    return module


def _trained(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what updates change: parameters that are trained, and buffers that are saved."""
    yield from ((name, p) for name, p in module.named_parameters() if p.requires_grad)
    saved = module.state_dict().keys()
    yield from ((name, buffer) for name, buffer in module.named_buffers() if name in saved)


def _modules(objectives: Mapping[str, object]) -> Iterator[tuple[str, nn.Module]]:
    yield from ((name, part) for name, part in objectives.items() if isinstance(part, nn.Module))


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _whole(tensor: Tensor) -> Tensor:
    """A tensor as one process has it, off the accelerator."""
    full: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu()


def _like(value: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, shared out as another one is."""
    value = value.to(tensor.device)
    if isinstance(tensor, DTensor):
        return distribute_tensor(value, tensor.device_mesh, tensor.placements)
    return value


def _draws(device: torch.device) -> tuple[dict[str, Tensor], Any]:
    """Where this process's global random numbers stand: torch's by device; Python's and numpy's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = torch.get_device_module(device).get_rng_state()
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    others = {"python": [version, list(words), gauss], "numpy": [name, np.asarray(keys).tolist(), *rest]}
    return states, others


def _draw_on(states: Mapping[str, Tensor], others: Mapping[str, Any]) -> None:
    version, words, gauss = others["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(others["numpy"]))  # noqa: NPY002
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.get_device_module(device).set_rng_state(state)
