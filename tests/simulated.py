"""A device that holds real numbers and needs no hardware: tensors say `meta`, their values lie on the CPU.

Whoever mixes them with a tensor of the CPU is refused, as a GPU would; reading a number back is counted.
"""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
ROOT = Path(__file__).parents[1]
READS = ("_local_scalar_dense", "equal", "nonzero", "is_nonzero", "unique_dim", "_unique2", "masked_select")
"""Operators whose results, or shapes of them, the CPU waits for."""


class There(Tensor):
    """A tensor of the simulated device."""

    value: Tensor

    @staticmethod
    def __new__(cls, value: Tensor, needs_grad: bool = False) -> There:
        made = Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=DEVICE,
            requires_grad=needs_grad,
        )
        made.value = value
        return made

    def tolist(self) -> Any:
        """Read all numbers."""
        Simulated.current.reads[_line()] += 1
        return self.value.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert a tensor of the device to numpy")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return Simulated.current.apply(func, args, kwargs or {})


class Simulated(TorchDispatchMode):
    """Makes what is asked for there, and lets nothing of the CPU's in."""

    current: Simulated

    def __init__(self) -> None:
        super().__init__()
        Simulated.current = self
        self.reads: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.apply(func, args, kwargs or {})

    def __enter__(self) -> Simulated:
        self.tensor = torch.tensor
        torch.tensor = self.made  # it does not come by the dispatcher
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.tensor = self.tensor
        super().__exit__(*error)

    def made(self, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        """`torch.tensor`."""
        found = self.tensor(*args, **kwargs)
        return There(found) if device is not None and torch.device(device) == DEVICE else found

    def apply(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """One operator on the values."""
        given = tree_flatten((args, kwargs))[0]
        tensors = [one for one in given if isinstance(one, Tensor)]
        ours = [one for one in tensors if isinstance(one, There)]
        name = func.overloadpacket.__name__
        asked = [one for one in given if isinstance(one, torch.device)]  # not by keyword in inference mode
        there = asked[0] == DEVICE if asked else bool(ours)
        moves = name in ("_to_copy", "copy_", "to")
        if ours and not moves:
            strays = [one for one in tensors if not isinstance(one, There) and one.ndim and one.numel()]
            assert not strays, f"{name} meets a CPU tensor of shape {tuple(strays[0].shape)}"
        if ours and (name in READS or (moves and not there)):
            self.reads[_line()] += 1
        values = tree_map(_here, (args, kwargs))
        found = func(*values[0], **values[1])
        if name.endswith("_") and not name.endswith("__") and ours:
            return args[0]
        return tree_map(lambda one: There(one) if there and isinstance(one, Tensor) else one, found)


def _here(given: Any) -> Any:
    """An argument for the CPU."""
    if isinstance(given, There):
        return given.value
    return torch.device("cpu") if isinstance(given, torch.device) else given


def _line() -> str:
    """Of the project's, the innermost."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and path != Path(__file__) and ".venv" not in path.parts:
            return f"{path.relative_to(ROOT)}:{frame.lineno}"
    return "?"
