"""Anchors: a teacher's reasoning, cut into segments and read by the stage-1 backbone (paper section 2.3)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any

import numpy as np
from accelerate import PartialState
from jaxtyping import Float, Int

from lasar_kit.core import samples
from lasar_kit.core.dataset import Dataset
from lasar_kit.core.values import Env
from lasar_kit.data.anchor_store import TEXTS, AnchorStore
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.process.world import from_main, is_main
from lasar_kit.stages.anchors.config import AnchorsConfig
from lasar_kit.stages.anchors.reader import Reader
from lasar_kit.stages.anchors.segment_states import Chain, chains_of, pieces_of
from lasar_kit.train.teacher_texts import TextLog, ask_teacher

TALLY = (
    *("cached", "failed", "refused", "empty", "cut_off", "retries"),
    *("prompt_tokens", "answer_tokens", "cost"),
)
"""Numbers of a teacher that the report keeps, those of the run that wrote the last texts."""
MOST_TEXTS = 0.9
"""Where more texts than this share have a single segment, a warning says so."""
BLOCK = 512
"""Prompts whose segments are in memory together; what is lost at most of the reading when a run is killed."""


class AnchorsStage:
    """Asks the teacher about training prompts and stores the states at its segments' ends.

    Texts and states go to the stage's work folder as they come, so that a run that was cut off goes on
    where it was. Blocks are the same whenever it was cut off, and so is the result.
    """

    def __init__(self, config: AnchorsConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the anchor store; report how many segments there are and how large they are."""
        if not is_main():
            self._help(context)
            return {}
        dataset = context.dataset()
        spec, config = context.spec, self.config
        windows = samples.prompts(
            dataset.train, config.samples, spec.max_history, config.max_samples, spec.seed
        )
        context.work.mkdir(parents=True, exist_ok=True)
        told: dict[str, float] = {}
        with TextLog(context.work / "segments.jsonl", len(windows)) as log:
            if kept := len(windows) - len(log.missing):
                context.screen.print(f"  goes on after {kept:,} of {len(windows):,} texts")
            self._write(context, dataset, windows, log, told)
            store = self._read(context, dataset, windows, log)
            _write_texts(context, dataset, windows, log)
            counts = log.counts
        store.link_to(context.folder)
        report = {
            "prompts": len(windows),
            "with_text": int((counts > 0).sum()),
            "segments": int(counts.sum()),
            "by_count": np.bincount(counts, minlength=self.config.max_segments + 1).tolist(),
            "megabytes": round(store.states.nbytes / 2**20, 1),
        }
        if tally := {name: told[name] for name in TALLY if name in told}:
            report["teacher"] = tally
            if tally.get("empty"):
                context.screen.print(f"[yellow]warning: {_emptied(tally)}[/yellow]")
        if caution := lopsided(counts, self.config.max_segments):
            report["caution"] = caution
            context.screen.print(f"[yellow]warning: {caution}[/yellow]")
        context.screen.print(
            "  {with_text:,} prompts, {segments:,} segments, {megabytes} MB".format(**report)
        )
        return report

    def _write(
        self,
        context: StageContext,
        dataset: Dataset,
        windows: samples.Windows,
        log: TextLog,
        told: dict[str, float],
    ) -> None:
        """Have the teacher write what is missing, and cut it up."""
        if missing := log.missing:
            env = context.env(device=str(PartialState().device))
            segmenter = context.catalogue.build("segmenter", self.config.segmenter, env)
            answers = ask_teacher(context, self.config.teacher, dataset, windows, missing, told)
            log.fill(answers, lambda text: segmenter.segment(text)[: self.config.max_segments])
        if not log.counts.any():
            place = f"user {dataset.users[windows[0].user]!r}, end {windows[0].stop - 1}"
            raise UserError(
                f"stages.{context.name}.teacher: {self.config.teacher.use} wrote no text for any of "
                f"{len(windows)} training prompts, such as that of {place}"
            )

    def _read(
        self, context: StageContext, dataset: Dataset, windows: samples.Windows, log: TextLog
    ) -> AnchorStore:
        """Read the segments block by block, from where an earlier run stopped."""
        reader = Reader(context, self.config)
        places = np.column_stack([windows.user, windows.stop - 1])
        store = AnchorStore.begin(context.work, places, log.counts, reader.width, self.config.dtype)
        edges = [*range(0, len(windows), BLOCK), len(windows)]
        with context.screen.progress(f"{context.name}: reading", len(windows)) as tick:
            for start, stop in pairwise(edges):
                if store.offsets[stop] > store.filled:
                    chains = self._chains(reader, dataset, windows, log, range(start, stop))
                    told = from_main(partial(list[Chain], chains))
                    self._put(context, store, reader.fitted(reader.states(told)))
                tick(stop - start)
        from_main(lambda: None)
        return store

    def _help(self, context: StageContext) -> None:
        """Read what the main process tells of, until there is no more."""
        reader = Reader(context, self.config)
        while (chains := from_main(list[Chain])) is not None:
            reader.states(chains)

    def _chains(
        self,
        reader: Reader,
        dataset: Dataset,
        windows: samples.Windows,
        log: TextLog,
        prompts: range,
    ) -> Iterator[Chain]:
        """Yield the chains to read for some prompts, in their order."""
        tokenizer, context = reader.backbone.tokenizer, self.config.context
        bos = tokenizer.bos_token_id
        start = prompt = np.array([] if bos is None else [bos], dtype=np.int64)
        # Tokenised by itself, as a task's question is: the words before it must not change its tokens.
        question = tokenizer(self.config.question, add_special_tokens=False)["input_ids"]
        known = [index for index in prompts if log.counts[index]]
        pieces = [
            segments if context == "segment_only" else pieces_of(text or "", segments)
            for text, segments in map(log.__getitem__, known)
        ]
        # All at once, as each call of a tokenizer has a price of its own.
        assert any(pieces), "a block without segments is not read"
        ids = iter(tokenizer(list(chain.from_iterable(pieces)), add_special_tokens=False)["input_ids"])
        for index, own in zip(known, pieces, strict=True):
            if context == "prompt_prefixed":
                window = windows[index]
                history = dataset.sequences[window.user][window.start : window.stop - 1]
                prompt = reader.prompts.prompts([history]).ids[0].numpy()
            rows = [np.array([*row, *question], dtype=np.int64) for row in islice(ids, len(own))]
            yield from chains_of(rows, context, start, prompt)

    def _put(
        self, context: StageContext, store: AnchorStore, states: Float[np.ndarray, "segments D"]
    ) -> None:
        try:
            store.put(states)
        except OverflowError as error:
            hint = " (float32 holds more)" if self.config.dtype == "float16" else ""
            raise UserError(
                f"stages.{context.name}.dtype: a hidden state has the coordinate {error}, which "
                f"{self.config.dtype} cannot hold{hint}"
            ) from None


def _emptied(tally: Mapping[str, float]) -> str:
    """Warn of answers without a text."""
    return (
        f"the teacher left {tally['empty']:,.0f} answers empty, {tally.get('cut_off', 0):,.0f} of all were "
        "cut off at its token limit; raise the limit, or have the model not think"
    )


def lopsided(counts: Int[np.ndarray, " n"], most: int) -> str | None:
    """Warn where nearly all texts that have segments have one, or all have equally many."""
    counts = counts[counts > 0]
    single, equal = float((counts == 1).mean()), bool((counts == counts[0]).all())
    if most == 1 or not (single > MOST_TEXTS or equal):
        return None
    what = (
        f"{single:.0%} of the texts have a single segment"
        if single
        else f"all texts have {counts[0]} segments"
    )
    return (
        f"{what}, so the depth policy has nothing to tell prompts apart by; look at the texts and at the "
        "segmenter's options (a threshold belongs to its model)"
    )


def _write_texts(context: StageContext, dataset: Dataset, windows: samples.Windows, log: TextLog) -> None:
    """The texts in the form that the teacher `jsonl` reads."""
    with (context.folder / TEXTS).open("w", encoding="utf-8", errors="backslashreplace") as file:
        for index, window in enumerate(windows):
            text, _ = log[index]
            if text is not None:
                line = {"user": dataset.users[window.user], "end": window.stop - 1, "text": text}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
