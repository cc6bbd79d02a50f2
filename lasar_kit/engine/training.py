"""What all training stages share: batches, the log, validation, stopping."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from accelerate import Accelerator
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import Aligner
from lasar_kit.engine import samples
from lasar_kit.engine.anchor_store import AnchorStore
from lasar_kit.engine.heldout import HeldOut
from lasar_kit.engine.recommender import Recommender
from lasar_kit.engine.stage import StageContext
from lasar_kit.engine.stages.config import TrainingConfig
from lasar_kit.engine.updates import Update, Updater
from lasar_kit.engine.validation import SELECTED_BY, BestCheckpoint
from lasar_kit.errors import UserError
from lasar_kit.spec import ComponentConfig


class Training(ABC):
    """Global batch after global batch, with validations between; subclasses say what an update is.

    What `goes_on` with a model that is whole already is validated before the first update as well, so that
    its artifact is never worse on validation than what it began with.
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
        self.schedule = config
        self.per_epoch = math.ceil(len(windows) / config.batch_size)
        self.updates = max(1, round(config.epochs * self.per_epoch))
        self.anchors = AnchorStore.open(context.inputs["anchors"]) if "anchors" in context.inputs else None
        held_out = HeldOut.of(dataset, "validation", config.eval_users, self.seed)
        self.best = BestCheckpoint(
            context.folder, held_out, config.eval_width, config.eval_batch_size, config.patience
        )

    @abstractmethod
    def update(self, windows: Sequence[samples.Window]) -> tuple[Update, Mapping[str, float]]:
        """One optimiser step on a global batch, and numbers to log beside it."""

    @abstractmethod
    def note(self, update: Update, numbers: Mapping[str, float], seconds: float) -> str:
        """What stands behind the progress bar."""

    def run(self) -> dict[str, Any]:
        """All updates, with validations between them; the report."""
        config, best, context = self.schedule, self.best, self.context
        eval_at = max(1, round(config.eval_every * self.per_epoch))
        done = 0
        if self.goes_on:
            self._validate(done)
        with context.screen.progress(context.name, self.updates) as tick:
            for batch in self._batches():
                started = time.perf_counter()
                update, numbers = self.update([self.windows[index] for index in batch])
                done += 1
                if not math.isfinite(update.loss):
                    raise UserError(f"stages.{context.name}: the loss is {update.loss} at update {done}")
                tick(1, self.note(update, numbers, time.perf_counter() - started))
                if done % config.log_every == 0 or done == self.updates:
                    self._log(done, update, numbers, len(batch) / (time.perf_counter() - started))
                if done % eval_at == 0 or done == self.updates:
                    self._validate(done)
                    if best.out_of_patience:
                        break
        self.accelerator.wait_for_everyone()
        return self._report(done)

    def _validate(self, done: int) -> None:
        values = self.best.validate(self.updater.readable(), self.accelerator, done)
        self.context.emit(done, {f"validation_{name}": value for name, value in values.items()})

    def _log(self, done: int, update: Update, numbers: Mapping[str, float], rate: float) -> None:
        terms = (
            {f"loss_{name}": value for name, value in update.terms.items()} if len(update.terms) > 1 else {}
        )
        line = {"loss": update.loss, **terms, "grad_norm": update.grad_norm, "lr": update.lr, **numbers}
        self.context.emit(done, {"epoch": done / self.per_epoch, **line, "samples_per_s": rate})

    def _report(self, done: int) -> dict[str, Any]:
        return {
            "parameters": sum(p.numel() for p in self.recommender.parameters()),
            "samples": len(self.windows),
            "updates": done,
            "epochs": round(done / self.per_epoch, 3),
            f"best_{SELECTED_BY}": self.best.best,
            "validations": self.best.history,
        }

    def _batches(self) -> Iterator[Int[np.ndarray, " b"]]:
        """The global batch of every update."""
        done = 0
        while True:
            epoch = done // self.per_epoch
            for batch in samples.epoch_batches(self.windows, self.schedule.batch_size, self.seed, epoch):
                if done == self.updates:
                    return
                yield batch
                done += 1


def build_aligner(context: StageContext, config: ComponentConfig, recommender: Recommender) -> Aligner:
    """An aligner for a recommender's states."""
    backbone = recommender.backbone
    env = context.env(
        hidden_size=backbone.hidden_size,
        head=backbone.logits,
        frozen_head=lambda: recommender.frozen().backbone.logits,
    )
    aligner: Aligner = context.catalogue.build("aligner", config, env)
    return aligner
