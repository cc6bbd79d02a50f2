"""Checks on another device: what laws make stands there, what a component makes where it has put it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from lasar_kit.testing import tiny

HERE = Path(__file__).parent
MAKERS = (
    *(torch.tensor, torch.as_tensor, torch.from_numpy, torch.arange, torch.zeros, torch.ones, torch.full),
    *(torch.eye, torch.rand, torch.randn, torch.randint, torch.randperm, torch.empty, torch.linspace),
)


class _On(TorchFunctionMode):
    """Moves what this package makes without saying where; numbers are drawn on the CPU, so they are the same.

    What others make is left alone, or a component that makes its tensors on the CPU would go unnoticed.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        made = func(*args, **options)
        if func in MAKERS and options.get("device") is None:
            caller = Path(sys._getframe(1).f_code.co_filename)
            return made.to(self.device) if caller.is_relative_to(HERE) else made
        return made


@contextmanager
def on(device: str) -> Iterator[None]:
    """Try laws on a device; on the CPU that is nothing."""
    if torch.device(device).type == "cpu":
        yield
        return
    doubles = (tiny.backbone, tiny.frozen, tiny.coarse_backbone)
    try:
        for made in doubles:
            made.cache_clear()
        with _On(device):
            yield
    finally:
        for made in doubles:
            made.cache_clear()
