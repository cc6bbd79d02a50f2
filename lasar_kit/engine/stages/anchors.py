"""Anchors: a teacher's reasoning, cut into segments and read by the stage-1 backbone (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from accelerate import PartialState

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.reasoning.from_dataset import requests_of
from lasar_kit.core.values import Env
from lasar_kit.engine import samples
from lasar_kit.engine.anchor_store import AnchorStore
from lasar_kit.engine.recommender import Recommender
from lasar_kit.engine.segment_states import Chain, chains_of, read_chains
from lasar_kit.engine.stage import StageContext
from lasar_kit.engine.stages.config import AnchorsConfig
from lasar_kit.errors import UserError


class AnchorsStage:
    """Asks the teacher about training prompts and stores the states at its segments' ends."""

    def __init__(self, config: AnchorsConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the anchor store; report how many segments there are and how large they are."""
        dataset = context.dataset()
        windows = self._windows(dataset, context)
        segments = self._segments(dataset, windows, context)
        recommender = Recommender.load(
            context.inputs["checkpoint"],
            context.catalogue,
            context.spec.decoder,
            context.sids(),
            context.env(device=str(PartialState().device)),
        ).eval()
        tokenizer = recommender.backbone.tokenizer
        chains: list[Chain] = []
        for window, texts in zip(windows, segments, strict=True):
            if texts:
                history = dataset.sequences[window.user][window.start : window.stop - 1]
                prompt = recommender.prompts.prompts([history]).ids[0].numpy()
                ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
                chains += chains_of([np.array(row) for row in ids], self.config.context, prompt)
        return self._store(context, recommender, windows, segments, chains)

    def _windows(self, dataset: Dataset, context: StageContext) -> list[samples.Window]:
        """The training prompts to reason about, in order; `max_samples` of them drawn by the seed."""
        windows = samples.sliding(dataset.train, context.spec.max_history)
        if 0 < self.config.max_samples < len(windows):
            rng = np.random.default_rng(context.spec.seed)
            chosen = np.sort(rng.choice(len(windows), self.config.max_samples, replace=False))
            windows = [windows[index] for index in chosen]
        return windows

    def _segments(
        self, dataset: Dataset, windows: Sequence[samples.Window], context: StageContext
    ) -> list[list[str]]:
        """The segments of each prompt's text, none where the teacher wrote nothing."""
        env = context.env()
        teacher = context.catalogue.build("teacher", self.config.teacher, env)
        segmenter = context.catalogue.build("segmenter", self.config.segmenter, env)
        places = [(window.user, window.start, window.stop - 1) for window in windows]
        requests = requests_of(dataset, places, with_target=teacher.wants_target)
        found: list[list[str]] = [[] for _ in windows]
        with context.screen.progress(f"{context.name}: writing", len(windows)) as tick:
            for index, text in teacher.write(requests):
                if text is not None:
                    found[index] = segmenter.segment(text)[: self.config.max_segments]
                tick(1)
        if not any(found):
            raise UserError(f"stages.{context.name}: the teacher wrote no text for any training prompt")
        return found

    def _store(
        self,
        context: StageContext,
        recommender: Recommender,
        windows: Sequence[samples.Window],
        segments: Sequence[Sequence[str]],
        chains: Sequence[Chain],
    ) -> dict[str, Any]:
        """Read all chains and put each state in its place."""
        counts = np.array([len(texts) for texts in segments])
        places = [(window.user, window.stop - 1) for window in windows]
        width = recommender.backbone.hidden_size
        store = AnchorStore.create(context.folder, places, counts.tolist(), width)
        # Chains are in the order of their prompts, so their reads, laid end to end, are the store's rows.
        first = np.concatenate([[0], np.cumsum([len(reads) for _, reads in chains])])
        assert first[-1] == store.offsets[-1], (first[-1], store.offsets[-1])
        with context.screen.progress(f"{context.name}: reading", len(chains)) as tick:
            states = read_chains(
                recommender.backbone, chains, self.config.batch_tokens, recommender.device, tick
            )
            for index, found in states:
                store.states[first[index] : first[index + 1]] = found
        assert isinstance(store.states, np.memmap)
        store.states.flush()
        report = {
            "prompts": len(windows),
            "with_text": int((counts > 0).sum()),
            "segments": int(counts.sum()),
            "by_count": np.bincount(counts, minlength=self.config.max_segments + 1).tolist(),
            "megabytes": round(store.states.nbytes / 2**20, 1),
        }
        context.screen.print(
            "  {with_text:,} prompts, {segments:,} segments, {megabytes} MB".format(**report)
        )
        return report
