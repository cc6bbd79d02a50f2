"""The loop that all training stages share: batches, the log, validation, stopping."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from accelerate import Accelerator
from jaxtyping import Int
from rich.markup import escape

from lasar_kit.core import samples
from lasar_kit.core.dataset import Dataset
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.data.held_out import HeldOut
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.process import faults, signals
from lasar_kit.process.world import from_main
from lasar_kit.train.config import TrainingConfig
from lasar_kit.train.resume import Keeper
from lasar_kit.train.updater import Update, Updater
from lasar_kit.train.validation import SELECTED_BY, BestCheckpoint

if TYPE_CHECKING:
    from lasar_kit.process.screen import Tick

SHOWN = 10
"""Users that are named where a batch went wrong."""


class Training(ABC):
    """Global batch after global batch, with validations between; subclasses say what an update is.

    What `goes_on` with a model that is whole already is validated before the first update as well, so that
    its artifact is never worse on validation than what it began with, unless the last is to be kept.
    """

    goes_on: ClassVar[bool] = False
    updater: Updater

    def __init__(
        self,
        config: TrainingConfig,
        context: StageContext,
        dataset: Dataset,
        windows: Sequence[samples.Window],
        accelerator: Accelerator,
        recommender: Recommender,
    ) -> None:
        if not windows:
            raise UserError(f"stages.{context.name}: no user has two items besides the held-out ones")
        self.context, self.seed, self.accelerator = context, context.spec.seed, accelerator
        self.train, self.windows, self.recommender = dataset.train, windows, recommender
        self.users = dataset.users
        self.done = 0
        self.stopped: str | None = None
        self.objectives: Mapping[str, Any] = {}
        self.schedule = config
        self.per_epoch = math.ceil(len(windows) / config.batch_size)
        self.updates = max(1, round(config.epochs * self.per_epoch))
        self.anchors = AnchorStore.open(context.inputs["anchors"]) if "anchors" in context.inputs else None
        held_out = HeldOut.of(dataset, "validation", config.eval_users, self.seed)
        self.best = BestCheckpoint(
            context.folder,
            held_out,
            config.eval_width,
            config.eval_batch_size,
            config.patience,
            config.score,
            precision=config.precision,
            keep=config.keep,
        )

    @abstractmethod
    def update(self, windows: Sequence[samples.Window]) -> tuple[Update, Mapping[str, float]]:
        """One optimiser step on a global batch, the one after `done` others, and numbers to log beside it."""

    def note(self, update: Update, numbers: Mapping[str, float], seconds: float) -> str:
        """Return the text behind the progress bar: the loss, and the best validation so far."""
        return f"loss {update.loss:.3f} · best {max(self.best.best, 0):.4f}"

    @property
    def validates_first(self) -> bool:
        """Whether the model is validated before the first update as well."""
        return self.goes_on

    def share(self, windows: Sequence[samples.Window]) -> tuple[Sequence[samples.Window], float]:
        """This process's part of a global batch, and its weight, 1.

        A process that gets none has the batch's first sample at weight 0: all must take part in an update.
        """
        places = np.arange(len(windows))
        mine = np.array_split(places, self.accelerator.num_processes)[self.accelerator.process_index]
        return [windows[place] for place in mine] or windows[:1], float(len(mine) > 0)

    def memory(self) -> dict[str, Any]:
        """Return what a subclass remembers of earlier updates beside its `objectives`, as JSON."""
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:  # noqa: B027
        """Go on from what `memory` gave."""

    def run(self) -> dict[str, Any]:
        """All updates, with validations and checkpoints between them; the report."""
        keeper = Keeper(self)
        if line := self.recommender.prompts.cut_line(self._lengths):
            self.context.screen.print(f"  {line}")
        with self.context.screen.progress(self.context.name, self.updates) as tick, signals.deferred():
            keeper.resume()
            tick(self.done)
            self._validate_if_due()
            for batch in self._batches():
                # Without an update there is a model to keep only where one that was whole goes on.
                if self.best.out_of_patience or (self.stopped and (self.done or self.goes_on)):
                    break
                self._make_update([self.windows[index] for index in batch], tick)
                keeper.keep()
                if self._validate_if_due():
                    keeper.stop_if_asked()
        self.accelerator.wait_for_everyone()
        if self.stopped:
            self.context.screen.print(f"  stopped after update {self.done:,}: {escape(self.stopped)}")
        self.context.screen.print(f"  kept: {self._kept()}")
        return self._report(self.done)

    def _kept(self) -> str:
        """Which model the artifact is."""
        if self.best.keep == "last":
            better = f"; that of update {self.best.best_update:,} was the best on validation"
            told = better if self.best.best_update != self.best.kept_update else ""
            return f"the model of the last update, {self.best.kept_update:,}{told}"
        if self.best.best_update:
            return f"the model of update {self.best.best_update:,}"
        return "the model before the first update; no update made it better on validation"

    def _make_update(self, windows: Sequence[samples.Window], tick: Tick) -> None:
        """One update: shown, counted and logged."""
        started = time.perf_counter()
        with self._faults(windows):
            update, numbers = self.update(windows)
        self.done += 1
        tick(1, self.note(update, numbers, time.perf_counter() - started))
        if self.done % self.schedule.log_every == 0 or self.done == self.updates:
            self._log(self.done, update, numbers, len(windows) / (time.perf_counter() - started))

    @contextmanager
    def _faults(self, windows: Sequence[samples.Window]) -> Iterator[None]:
        """Say of what goes wrong in an update which one it was, and on what."""
        name, size, longest = self.context.name, len(windows), max(map(len, windows))
        place = f"stages.{name}: update {self.done + 1} of {size} samples, the longest of {longest} items"
        ways = {"batch_size": "lower", "candidates": "lower", "gradient_accumulation": "raise"}
        advice = [f"{way} stages.{name}.{key}" for key, way in ways.items() if hasattr(self.schedule, key)]
        try:
            with faults.memory(place, " or ".join(advice)):
                yield
        except faults.NotFinite as error:
            users = list(dict.fromkeys(str(self.users[window.user]) for window in windows))
            more = f" and {len(users) - SHOWN} more" if len(users) > SHOWN else ""
            raise UserError(
                f"stages.{name}: {error} at update {self.done + 1}; the update was not made. Try a lower "
                f"optimizer.lr or clip; the batch has the users {', '.join(users[:SHOWN])}{more}"
            ) from error

    def _validate_if_due(self) -> bool:
        """Validate every so often and at the end, by a hook's wish too, once; whether that was now."""
        eval_at = max(1, round(self.schedule.eval_every * self.per_epoch))
        due = self.done % eval_at == 0 or self.done == self.updates or self.stopped is not None
        last = self.best.history[-1]["update"] if self.best.history else None
        if not due or last == self.done or (self.done == 0 and not self.validates_first):
            return False
        name = self.context.name
        advice = f"lower stages.{name}.eval_batch_size or stages.{name}.eval_width"
        with faults.memory(f"stages.{name}: validation after update {self.done}", advice):
            self._validate(self.done)
        return True

    def _validate(self, done: int) -> None:
        counts = done > 0 or self.goes_on
        values = self.best.validate(self.updater.readable(), self.accelerator, done, counts)
        self._emit(done, {f"validation_{name}": value for name, value in values.items()})

    def _emit(self, done: int, metrics: Mapping[str, float]) -> None:
        """Log, and hear from the main process why a hook wants the stage to end; the first reason counts."""
        reason = self.context.emit(done, metrics)
        self.stopped = from_main(lambda: self.stopped or reason)

    def _log(self, done: int, update: Update, numbers: Mapping[str, float], rate: float) -> None:
        terms = (
            {f"loss_{name}": value for name, value in update.terms.items()} if len(update.terms) > 1 else {}
        )
        line = {"loss": update.loss, **terms, "grad_norm": update.grad_norm, "lr": update.lr, **numbers}
        self._emit(done, {"epoch": done / self.per_epoch, **line, "samples_per_s": rate})

    def _report(self, done: int) -> dict[str, Any]:
        prompts = self.recommender.prompts
        return {
            "parameters": sum(p.numel() for p in self.recommender.parameters()),
            "samples": len(self.windows),
            "updates": done,
            "epochs": round(done / self.per_epoch, 3),
            f"best_{SELECTED_BY}": self.best.best,
            "best_update": self.best.best_update,
            "kept_update": self.best.kept_update,
            "validations": self.best.history,
            **({"shortened_histories": round(cut, 6)} if (cut := prompts.cut(self._lengths)) else {}),
            **({"stopped": self.stopped} if self.stopped else {}),
        }

    @property
    def _lengths(self) -> Int[np.ndarray, " n"]:
        """Items before the last of each sample."""
        return samples.lengths_of(self.windows) - 1

    def _batches(self) -> Iterator[Int[np.ndarray, " b"]]:
        """The global batch of every update that is still to be made."""
        for epoch in range(self.done // self.per_epoch, math.ceil(self.updates / self.per_epoch)):
            first = epoch * self.per_epoch
            batches = samples.epoch_batches(
                self.windows, self.schedule.batch_size, self.seed, epoch, self.schedule.by_length
            )
            yield from islice(batches, self.done - first, self.updates - first)
