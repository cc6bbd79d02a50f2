"""Processes of a run, acting together. Alone, each function does the obvious and costs nothing.

Every process of a run must call these functions, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor

Part = TypeVar("Part")
Found = TypeVar("Found")


def several() -> bool:
    """Whether there is more than this process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_main() -> bool:
    """Whether this is the one process that writes."""
    return rank() == 0


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if several() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if several() else 1


def from_all(value: Found) -> list[Found]:
    """The value that each process has, by rank."""
    if not several():
        return [value]
    every = [value] * dist.get_world_size()
    dist.all_gather_object(every, value)
    return every


def from_main(make: Callable[[], Found]) -> Found:
    """Return what `make` gives on the main process; the others do not call it, and wait."""
    if not several():
        return make()
    held: list[Any] = [make() if is_main() else None]
    dist.broadcast_object_list(held, src=0)
    made: Found = held[0]
    return made


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if several():
        dist.barrier()


def in_shares(parts: Sequence[Part], work: Callable[[Part], Found]) -> list[Found]:
    """`work` on every part, each done by one process; all results, in order, on all processes.

    Cut the parts (batches, say) without regard to the number of processes, and the results are the same
    bits for any number.
    """
    if not several():
        return [work(part) for part in parts]
    count = dist.get_world_size()
    every: list[list[Found]] = [[] for _ in range(count)]
    dist.all_gather_object(every, [work(part) for part in parts[dist.get_rank() :: count]])
    return [every[index % count][index // count] for index in range(len(parts))]


def world_max(values: Int[Tensor, "*S"]) -> int:
    """The largest value over all processes.

    Loops run for as many steps everywhere: where weights are sharded, each step is an exchange that all
    must take part in.
    """
    largest = values.max()
    if several():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def world_mean(values: Mapping[str, float], weight: float) -> dict[str, float]:
    """Each number averaged over the processes by their weights, 0 where one lacks it; a process of weight 0
    has no say. A number whose name ends in `_min` or `_max` is the least or the greatest that there is."""
    if not several():
        return dict(values)
    every: list[tuple[Mapping[str, float], float]] = [(values, weight)] * dist.get_world_size()
    dist.all_gather_object(every, (dict(values), weight))
    heard = [(numbers, share) for numbers, share in every if share > 0]
    return mean_of(heard)


def mean_of(heard: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Each number averaged by the weights beside the tables, 0 where one lacks it; one whose name ends in
    `_min` or `_max` is the least or the greatest that there is. A single table comes back as it is."""
    if len(heard) == 1:
        return dict(heard[0][0])
    total = sum(share for _, share in heard)

    def together(name: str) -> float:
        extreme = {"_min": min, "_max": max}.get(name[-4:])
        if extreme is not None:
            return extreme(numbers[name] for numbers, _ in heard if name in numbers)
        return sum(numbers.get(name, 0.0) * share for numbers, share in heard) / total

    return {name: together(name) for name in dict.fromkeys(name for numbers, _ in heard for name in numbers)}


def world_sum(values: Int[Tensor, "*S"]) -> Int[Tensor, "*S"]:
    """Each value summed over all processes."""
    total = values.clone()
    if several():
        dist.all_reduce(total)
    return total
