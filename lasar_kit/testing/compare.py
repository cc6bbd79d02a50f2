"""Whether two results are the same, to the bit or nearly, whatever they are made of."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from lasar_kit.testing.describe import shown

TOLERANCE = 1e-4
"""Of float32 numbers that were computed in another order, relative to the largest."""


def snapshot(value: Any) -> Any:
    """A copy in plain containers that no later change reaches; of what is opaque, nothing."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, pl.DataFrame):
        return {name: value[name].to_list() for name in value.columns}
    if isinstance(value, nn.Module):
        return snapshot({**value.state_dict(), "training": value.training})
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: snapshot(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: snapshot(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(inner) for inner in value]
    return value if isinstance(value, str | bytes | int | float | bool | None) else None


def difference(first: Any, second: Any, where: str = "") -> str:
    """The first place at which two snapshots differ, with both values; empty where they are equal.

    NaN equals NaN: what is masked may hold it.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        pairs = [(str(name), first.get(name), second.get(name)) for name in {**first, **second}]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = [(str(place), *pair) for place, pair in enumerate(zip(first, second, strict=True))]
    else:
        return "" if _equal(first, second) else f"{where} {_gap(first, second)}".strip()
    differences = (difference(one, other, f"{where}.{name}".lstrip(".")) for name, one, other in pairs)
    return next((line for line in differences if line), "")


def _gap(first: Any, second: Any) -> str:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and first.dtype.kind in "fiu":
        first, second = torch.from_numpy(first), torch.from_numpy(second)
    if isinstance(first, Tensor) and isinstance(second, Tensor) and first.dtype == second.dtype:
        return furthest(second, first)
    return f"{shown(second)} instead of {shown(first)}"


def _equal(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, Tensor):
        same = first.dtype == second.dtype and first.shape == second.shape
        return same and bool(((first == second) | ((first != first) & (second != second))).all())
    if isinstance(first, np.ndarray):
        numeric = first.dtype.kind in "fc"
        return bool(first.dtype == second.dtype and np.array_equal(first, second, equal_nan=numeric))
    return bool(first == second)


def close(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors have one shape and nearly the same numbers; infinities must be equal."""
    if found.shape != expected.shape:
        return False
    found, expected = found.detach().double(), expected.detach().double()
    finite = expected[expected.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(found, expected, rtol=0, atol=tolerance * max(1.0, largest))


def furthest(found: Tensor, expected: Tensor) -> str:
    """Where two tensors are furthest apart, with both numbers; or their shapes where these differ."""
    if found.shape != expected.shape:
        return f"shape {list(found.shape)} instead of {list(expected.shape)}"
    if not found.numel():
        return "nothing"
    gap = (found.detach().double() - expected.detach().double()).abs()
    gap = torch.where((found == expected), 0.0, gap.nan_to_num(torch.inf))
    place = [int(index) for index in np.unravel_index(int(gap.argmax()), gap.shape)]
    one, other = (float(x.detach()[tuple(place)]) for x in (found, expected))
    return f"{one:.6g} instead of {other:.6g}" + (f" at {place}" if place else "")
