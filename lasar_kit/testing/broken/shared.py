"""Saboteurs of the checks that all kinds share: each double, with one thing twisted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from pydantic import Field, field_serializer
from torch import Tensor, nn

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.spec import ComponentConfig
from lasar_kit.testing import tiny
from lasar_kit.testing.broken.saboteurs import Saboteurs
from lasar_kit.testing.checks import checks_for
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.lessons import TinyView

METHODS = {
    "quantizer": "encode",
    "backbone": "advance",
    "latent_loop": "run",
    "depth_policy": "logits",
    "aligner": "loss",
    "sft_objective": "loss",
    "rl_objective": "loss",
    "decoder": "search",
    "dataset": "load",
    "text_encoder": "encode",
    "prompt": "tail",
    "teacher": "write",
    "segmenter": "segment",
    "reward": "reward",
    "ranker": "score",
    "hook": "reason",
}
"""Methods of a component that are twisted."""

Twist = Callable[[Any, Any, tuple[Any, ...]], Any]
"""Makes of a component, what it gave and its arguments something else."""


def saboteurs() -> Saboteurs:
    """One for each shared check of each kind."""
    makers: dict[str, Callable[[str], Subject]] = {
        "has_its_interface": _incomplete,
        "nothing_is_raised": lambda kind: _twisted(kind, _raises),
        "options_survive_a_round_trip": lambda kind: replace(
            _double(kind), config=Lossy(use="tiny", scale=0.123)
        ),
        "options_are_described": lambda kind: replace(_double(kind), config=Undescribed(use="tiny")),
        "same_seed_same_result": _unsteady,
        "no_global_random_numbers": _random,
        "inputs_are_left_as_they_were": lambda kind: _twisted(kind, _change_inputs),
        "state_survives_saving": _half_saved,
        "weights_are_parameters": _loose,
        "results_have_type_and_device": lambda kind: _twisted(
            kind, lambda self, out, inputs: _each(out, _cast)
        ),
        "earlier_uses_are_forgotten": lambda kind: _twisted(kind, _counts_uses),
    }
    return {
        (kind, check.name): makers[check.name](kind)
        for kind in METHODS
        for check in checks_for(kind)
        if check.name in makers
    }


class Lossy(ComponentConfig):
    """Writes fewer digits than it has."""

    scale: float = Field(1.0, description="A number.")

    @field_serializer("scale")
    def _short(self, scale: float) -> float:
        return round(scale, 1)


class Undescribed(ComponentConfig):
    """Has an option without a description."""

    scale: float = 1.0


def _double(kind: str) -> Subject:
    return Subject(kind, f"tiny {kind}", lambda env: tiny.DOUBLES[kind](None, env))


def _incomplete(kind: str) -> Subject:
    """Lacks its main method."""
    return Subject(kind, "Incomplete", lambda env: object())


def _twisted(kind: str, twist: Twist) -> Subject:
    """The double, its main method's results twisted."""
    return Subject(kind, "Twisted", lambda env: _subclass(kind, twist)(None, env))


def _subclass(kind: str, twist: Twist) -> type:
    double, name = tiny.DOUBLES[kind], METHODS[kind]
    original: Any = getattr(double, name)
    if isinstance(original, str):
        return type("Twisted", (double,), {name: property(lambda self: twist(self, original, ()))})

    def method(self: Any, *inputs: Any) -> Any:
        return twist(self, original(self, *inputs), inputs)

    return type("Twisted", (double,), {name: method})


def _unsteady(kind: str) -> Subject:
    """Is another each time it is built."""
    numbers = count(1)

    def make(env: Env) -> Any:
        step = next(numbers)
        return _subclass(kind, lambda self, out, inputs: _each(out, lambda value: _moved(value, step)))(
            None, env
        )

    return Subject(kind, "Unsteady", make)


def _random(kind: str) -> Subject:
    """Adds a number of the global generator."""

    def twist(self: Any, out: Any, inputs: tuple[Any, ...]) -> Any:
        step = int(torch.randint(1, 1000, ()))
        return _each(out, lambda value: _moved(value, step))

    return _twisted(kind, twist)


def _half_saved(kind: str) -> Subject:
    """Saves half of what it learned."""
    double = tiny.DOUBLES[kind]
    state_dict: Any = getattr(double, "state_dict")  # noqa: B009 (not all doubles have one)

    def halved(self: Any, *args: Any, **options: Any) -> Any:
        return {name: value * 0.5 for name, value in state_dict(self, *args, **options).items()}

    half = type("Half", (double,), {"state_dict": halved})
    return Subject(kind, "Half", lambda env: half(None, env))


def _loose(kind: str) -> Subject:
    """Keeps a weight in a list."""
    double: Any = tiny.DOUBLES[kind]

    def build(self: Any, config: Any, env: Env) -> None:
        double.__init__(self, config, env)
        self.scales = [torch.ones(2, requires_grad=True)]

    loose = type("Loose", (double,), {"__init__": build})
    return Subject(kind, "Loose", lambda env: loose(None, env))


def _raises(self: Any, out: Any, inputs: tuple[Any, ...]) -> Any:
    raise ValueError("no use")


def _counts_uses(self: Any, out: Any, inputs: tuple[Any, ...]) -> Any:
    """Move a result by how often it was asked before."""
    self.uses = getattr(self, "uses", -1) + 1
    return _each(out, lambda value: _moved(value, self.uses))


def _each(out: Any, change: Callable[[Any], Any]) -> Any:
    """A result with its first changeable part changed; of named parts those that are not the context, and a
    text in the place of None."""
    out = "" if out is None else out
    if isinstance(out, Tensor | np.ndarray | str):
        return change(out)
    if isinstance(out, Dataset):
        return replace(out, users=tuple(change(user) for user in out.users))
    if is_dataclass(out) and not isinstance(out, type):
        parts = {field.name: getattr(out, field.name) for field in fields(out)}
        wanted = [
            name for name, part in parts.items() if isinstance(part, Tensor) and part.is_floating_point()
        ]
        return replace(out, **{name: change(parts[name]) for name in wanted})
    if isinstance(out, tuple):
        return change(out[0]), *out[1:]
    return [
        (part[0], part[1] and change(part[1])) if isinstance(part, tuple) else change(part) for part in out
    ]


def _moved(value: Any, step: int) -> Any:
    """A value moved by `step`, whatever it is."""
    if isinstance(value, str):
        return value + "!" * (step % 1000)
    if isinstance(value, Tensor) and not value.is_floating_point():
        return (value + step) % 4
    return value + 0.01 * step


def _cast(value: Any) -> Any:
    """The same numbers in a type that nobody asked for."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float16)
    return value.half() if value.is_floating_point() else value.int()


def _change_inputs(self: Any, out: Any, inputs: tuple[Any, ...]) -> Any:
    """Add 1 to whatever was given, in place."""
    for value in inputs:
        if isinstance(value, nn.Module):
            continue
        if isinstance(value, TinyView):
            value = value.lesson
        if isinstance(value, list) and value:
            value.append(value[0])
        if isinstance(value, dict):
            value["changed"] = 1.0
        parts = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else [value]
        for part in parts:
            if isinstance(part, Tensor) and part.is_floating_point():
                part.data.add_(1)
            elif isinstance(part, Tensor):
                part.data.add_(1 if part.dtype != torch.bool else True)
            elif isinstance(part, np.ndarray):
                part[...] = 0
    return out


__all__ = ["METHODS", "saboteurs"]
