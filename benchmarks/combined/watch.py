"""Which parts of a recommender ever get a gradient while a run trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lasar_kit.train.updater import Updater


class Watch:
    """Looks at all gradients of the updates that are made while it is entered, by stage of training."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, set[str]]] = []
        """Of each training stage the module that it trains, and the parameters that had a gradient."""

    def __enter__(self) -> Self:
        self._init = Updater.__init__

        def watched(updater: Updater, accelerator: Any, step: Any, *args: Any, **more: Any) -> None:
            self.steps.append((step, set()))
            self._init(updater, accelerator, step, *args, **more)

        Updater.__init__ = watched  # type: ignore[method-assign]
        self._hook = register_optimizer_step_pre_hook(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        Updater.__init__ = self._init  # type: ignore[method-assign]
        self._hook.remove()

    def _look(self, *_: object) -> None:
        for step, reached in self.steps[-1:]:
            for name, parameter in step.named_parameters():
                if parameter.grad is not None and bool(torch.any(parameter.grad)):
                    reached.add(name)

    def idle(self) -> Iterator[str]:
        """Weights beside the backbone's that no gradient reached in a whole stage, by its number."""
        for number, (step, reached) in enumerate(self.steps, start=1):
            for name, parameter in step.named_parameters():
                if parameter.requires_grad and name not in reached and ".backbone." not in f".{name}":
                    yield f"training {number}: {name} gets no gradient"
