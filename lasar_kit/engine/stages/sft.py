"""Supervised fine-tuning (paper section 2.3): stage 1 grounds SIDs, stage 2 aligns thoughts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_kit.engine import samples
from lasar_kit.engine.anchor_store import Place
from lasar_kit.engine.item_texts import ItemTexts
from lasar_kit.engine.prompts import PromptBatch
from lasar_kit.engine.recommender import Parts, Recommender
from lasar_kit.engine.sft_step import SftStep
from lasar_kit.engine.stage import StageContext
from lasar_kit.engine.stages.config import SftConfig
from lasar_kit.engine.training import Training, build_aligner
from lasar_kit.engine.updates import Term, Update, Updater


class SftStage:
    """Trains until validation gets no better; the artifact is the best checkpoint."""

    def __init__(self, config: SftConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the best checkpoint; report how it was reached."""
        accelerator = Accelerator()
        set_seed(context.spec.seed, device_specific=True)  # dropout; all else has generators of its own
        dataset = context.dataset()
        windows = _windows(dataset.train, self.config, context.spec.max_history)
        recommender = _recommender(dataset, self.config, context, str(accelerator.device))
        return _SftTraining(self.config, context, dataset, windows, accelerator, recommender).run()


def _windows(train: Sequences, config: SftConfig, max_history: int) -> list[samples.Window]:
    if config.samples == "packed":
        return samples.packed(train, config.pack_items or max_history + 1)
    if config.samples == "sliding":
        return samples.sliding(train, max_history)
    return samples.longest_per_user(train, max_history)


def _recommender(dataset: Dataset, config: SftConfig, context: StageContext, device: str) -> Recommender:
    """A fresh recommender, or one with the weights of the checkpoint this stage reads."""
    spec, sids = context.spec, context.sids()
    parts = Parts(spec.backbone, spec.prompt, config.latent_loop, config.depth_policy, spec.max_history)
    env = context.env(
        device=device,
        vocabulary=sids.vocabulary,
        corpus=lambda: item_text(dataset.items, ("title", "brand", "categories")),
        checkpoint=None if config.fresh else context.inputs.get("checkpoint"),
    )
    return Recommender.build(context.catalogue, parts, spec.decoder, sids, env)


class _SftTraining(Training):
    """L_SFT = L_CE + alpha L_align + beta L_policy."""

    def __init__(
        self,
        config: SftConfig,
        context: StageContext,
        dataset: Dataset,
        windows: Sequence[samples.Window],
        accelerator: Accelerator,
        recommender: Recommender,
    ) -> None:
        super().__init__(config, context, dataset, windows, accelerator, recommender)
        self.config = config
        aligner = build_aligner(context, config.aligner, recommender)
        texts = (
            ItemTexts(dataset, recommender.backbone.tokenizer, config.text) if config.text.weight else None
        )
        self.texts = texts if texts and texts.rows else None
        self.done = 0
        step = SftStep(recommender, config.score, aligner, config.depth == "label")
        self.updater = Updater(accelerator, step, config.optimizer, self.updates, config.precision)

    def update(self, windows: Sequence[samples.Window]) -> tuple[Update, Mapping[str, float]]:
        """The mean over all answer tokens of the global batch, and over all prompts with a label."""
        places = [place for window in windows for place in self._places(window)]
        levels = self.recommender.prompts.table.tokens.shape[1]
        terms = {"ce": Term(1.0, levels * len(places))}
        if self.anchors is not None:
            labelled = int((self.anchors.counts(places) > 0).sum())
            terms["align"] = Term(self.config.align_weight, labelled)
            terms["policy"] = Term(self.config.policy_weight, labelled)
        texts = self.texts.draw(self.seed, self.done) if self.texts else []
        if self.texts:
            terms["text"] = Term(self.config.text.weight, sum(len(text) - 1 for text in texts))
        self.done += 1
        return self.updater.update(self._passes(windows, texts), terms), {"items": len(places)}

    def note(self, update: Update, numbers: Mapping[str, float], seconds: float) -> str:
        """Loss, throughput, and the best validation so far."""
        rate = numbers["items"] / seconds
        return f"loss {update.loss:.3f} · {rate:,.0f} items/s · best {max(self.best.best, 0):.4f}"

    def _places(self, window: samples.Window) -> list[Place]:
        """Where in its user's sequence each answer of a window stands."""
        first = window.start + 1 if self.config.samples == "packed" else window.stop - 1
        return [(window.user, end) for end in range(first, window.stop)]

    def _passes(
        self, windows: Sequence[samples.Window], texts: Sequence[Int[np.ndarray, " L"]]
    ) -> list[tuple[partial[PromptBatch], float]]:
        """This process's share of a global batch, split for accumulation; one of weight 0 if it has none.

        Texts go with the first pass.
        """
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        mine = np.array_split(np.arange(len(windows)), processes)[process]
        parts = np.array_split(mine, min(self.config.gradient_accumulation, max(1, len(mine))))
        share = texts[process::processes] if len(mine) else []
        return [
            (
                partial(
                    self._collate, [windows[i] for i in (part if len(part) else [0])], share if n == 0 else []
                ),
                float(len(part) > 0),
            )
            for n, part in enumerate(parts)
        ]

    def _collate(
        self, windows: Sequence[samples.Window], texts: Sequence[Int[np.ndarray, " L"]]
    ) -> PromptBatch:
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
        if self.texts and texts:
            batch = replace(batch, text=self.texts.padded(texts))
        return batch.to(self.accelerator.device)
