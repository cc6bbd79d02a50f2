"""Examples and numbers on one line."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

LONGEST = 160


def describe(case: Any) -> str:
    """The drawn values of an example, by name, but for those that are as by default."""
    if case is None:
        return ""
    if is_dataclass(case):
        values = {field.name: (getattr(case, field.name), field.default) for field in fields(case)}
        told = {name: value for name, (value, default) in values.items() if value != default}
        return ", ".join(
            describe(value) if is_dataclass(value) else f"{name}={shown(value)}"
            for name, value in told.items()
        )
    return shown(case)


def shown(value: Any) -> str:
    """A value, shortened; of large arrays the shape."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        if value.numel() > 6:
            return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size <= 6 else f"{value.dtype}{list(value.shape)}"
    text = _rounded(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _rounded(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        open_, close = "[]" if isinstance(value, list) else "()"
        return open_ + ", ".join(map(_rounded, value)) + close
    return repr(value)
