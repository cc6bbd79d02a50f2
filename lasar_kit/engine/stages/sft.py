"""Supervised fine-tuning: stage 1 grounds SIDs in next-item prediction (paper section 2.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_kit.engine import samples
from lasar_kit.engine.anchor_store import AnchorStore, Place
from lasar_kit.engine.heldout import HeldOut
from lasar_kit.engine.prompts import PromptBatch
from lasar_kit.engine.recommender import Parts, Recommender
from lasar_kit.engine.sft_step import SftStep
from lasar_kit.engine.stage import StageContext
from lasar_kit.engine.stages.config import SftConfig
from lasar_kit.engine.updates import Term, Update, Updater
from lasar_kit.engine.validation import SELECTED_BY, BestCheckpoint
from lasar_kit.errors import UserError


class SftStage:
    """Trains until validation gets no better; the artifact is the best checkpoint."""

    def __init__(self, config: SftConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the best checkpoint; report how it was reached."""
        return _Training(self.config, context).run()


class _Training:
    """One training run."""

    def __init__(self, config: SftConfig, context: StageContext) -> None:
        self.config, self.context, self.seed = config, context, context.spec.seed
        self.accelerator = Accelerator()
        set_seed(self.seed, device_specific=True)  # dropout; all else has generators of its own
        dataset = context.dataset()
        self.train = dataset.train
        self.windows = self._windows()
        self.recommender = self._recommender(dataset)
        self.per_epoch = math.ceil(len(self.windows) / config.batch_size)
        self.updates = max(1, round(config.epochs * self.per_epoch))
        self.anchors = AnchorStore.open(context.inputs["anchors"]) if "anchors" in context.inputs else None
        step = SftStep(self.recommender, config.score, self._aligner(), config.depth == "label")
        self.updater = Updater(self.accelerator, step, config.optimizer, self.updates, config.precision)
        held_out = HeldOut.of(dataset, "validation", config.eval_users, self.seed)
        self.best = BestCheckpoint(
            context.folder, held_out, config.eval_width, config.eval_batch_size, config.patience
        )

    def _windows(self) -> list[samples.Window]:
        history, kind = self.context.spec.max_history, self.config.samples
        if kind == "packed":
            windows = samples.packed(self.train, self.config.pack_items or history + 1)
        elif kind == "sliding":
            windows = samples.sliding(self.train, history)
        else:
            windows = samples.longest_per_user(self.train, history)
        if not windows:
            raise UserError(f"stages.{self.context.name}: no user has two items besides the held-out ones")
        return windows

    def _recommender(self, dataset: Dataset) -> Recommender:
        """A fresh recommender, or one with the weights of the checkpoint this stage reads."""
        spec, sids = self.context.spec, self.context.sids()
        parts = Parts(
            spec.backbone, spec.prompt, self.config.latent_loop, self.config.depth_policy, spec.max_history
        )
        env = self.context.env(
            device=str(self.accelerator.device),
            vocabulary=sids.vocabulary,
            corpus=lambda: item_text(dataset.items, ("title", "brand", "categories")),
            checkpoint=self.context.inputs.get("checkpoint"),
        )
        return Recommender.build(self.context.catalogue, parts, spec.decoder, sids, env)

    def _aligner(self) -> Aligner:
        backbone = self.recommender.backbone
        env = self.context.env(hidden_size=backbone.hidden_size, head=backbone.logits)
        aligner: Aligner = self.context.catalogue.build("aligner", self.config.aligner, env)
        return aligner

    def run(self) -> dict[str, Any]:
        """All updates, with validations between them."""
        config, best = self.config, self.best
        eval_at = max(1, round(config.eval_every * self.per_epoch))
        done = 0
        with self.context.screen.progress(self.context.name, self.updates) as tick:
            for batch in self._batches():
                started = time.perf_counter()
                terms = self._terms(batch)
                update = self.updater.update(self._passes(batch), terms)
                done += 1
                if not math.isfinite(update.loss):
                    raise UserError(f"stages.{self.context.name}: the loss is {update.loss} at update {done}")
                rate = terms["ce"].count / self.levels / (time.perf_counter() - started)
                tick(1, f"loss {update.loss:.3f} · {rate:,.0f} items/s · best {max(best.best, 0):.4f}")
                if done % config.log_every == 0 or done == self.updates:
                    self._log(done, update, rate)
                if done % eval_at == 0 or done == self.updates:
                    values = best.validate(self.recommender, self.accelerator, done)
                    self.context.emit(done, {f"validation_{name}": value for name, value in values.items()})
                    if best.out_of_patience:
                        break
        self.accelerator.wait_for_everyone()
        return self._report(done)

    def _terms(self, batch: Int[np.ndarray, " b"]) -> dict[str, Term]:
        """The terms of the loss, counted over the global batch."""
        windows = self._of(batch)
        terms = {"ce": Term(1.0, self.levels * sum(self._answers(window) for window in windows))}
        if self.anchors is not None:
            places = [place for window in windows for place in self._places(window)]
            labelled = int((self.anchors.counts(places) > 0).sum())
            terms["align"] = Term(self.config.align_weight, labelled)
            terms["policy"] = Term(self.config.policy_weight, labelled)
        return terms

    def _log(self, done: int, update: Update, rate: float) -> None:
        terms = {f"loss_{name}": value for name, value in update.terms.items()} if self.anchors else {}
        numbers = {"loss": update.loss, **terms, "grad_norm": update.grad_norm, "lr": update.lr}
        self.context.emit(done, {"epoch": done / self.per_epoch, **numbers, "items_per_s": rate})

    def _report(self, done: int) -> dict[str, Any]:
        return {
            "parameters": sum(p.numel() for p in self.recommender.parameters()),
            "samples": len(self.windows),
            "updates": done,
            "epochs": round(done / self.per_epoch, 3),
            f"best_{SELECTED_BY}": self.best.best,
            "validations": self.best.history,
        }

    @property
    def levels(self) -> int:
        return self.recommender.prompts.table.tokens.shape[1]

    def _batches(self) -> Iterator[Int[np.ndarray, " b"]]:
        """The global batch of every update."""
        done = 0
        while True:
            epoch = done // self.per_epoch
            for batch in samples.epoch_batches(self.windows, self.config.batch_size, self.seed, epoch):
                if done == self.updates:
                    return
                yield batch
                done += 1

    def _of(self, batch: Int[np.ndarray, " b"]) -> list[samples.Window]:
        return [self.windows[index] for index in batch]

    def _answers(self, window: samples.Window) -> int:
        return len(window) - 1 if self.config.samples == "packed" else 1

    def _places(self, window: samples.Window) -> list[Place]:
        """Where in its user's sequence each answer of a window stands."""
        first = window.start + 1 if self.config.samples == "packed" else window.stop - 1
        return [(window.user, end) for end in range(first, window.stop)]

    def _passes(self, batch: Int[np.ndarray, " b"]) -> list[tuple[partial[PromptBatch], float]]:
        """This process's share of a global batch, split for accumulation; one of weight 0 if it has none."""
        mine = np.array_split(batch, self.accelerator.num_processes)[self.accelerator.process_index]
        parts = np.array_split(mine, min(self.config.gradient_accumulation, max(1, len(mine))))
        return [
            (partial(self._collate, self._of(part if len(part) else batch[:1])), float(len(part) > 0))
            for part in parts
        ]

    def _collate(self, windows: Sequence[samples.Window]) -> PromptBatch:
        prompts, loop = self.recommender.prompts, self.recommender.latent_loop
        rows = [self.train[window.user][window.start : window.stop] for window in windows]
        if self.config.samples == "packed":
            batch = prompts.packed(rows, transparent=loop.transparent)
        else:
            batch = prompts.answered([(row[:-1], int(row[-1])) for row in rows])
        if self.anchors is not None:
            places = [self._places(window) for window in windows]
            anchors, label = self.anchors.batch(places, batch.tips.shape[1])
            batch = replace(batch, anchors=anchors, label=label)
        return batch.to(self.accelerator.device)
