"""Supervised fine-tuning (paper section 2.3): stage 1 grounds SIDs, stage 2 aligns thoughts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_kit.data import samples
from lasar_kit.data.anchor_store import Place
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.model.depth import depth_from
from lasar_kit.model.prompts import PromptBatch
from lasar_kit.model.recommender import Misfit, Parts, Recommender
from lasar_kit.process.world import from_main, world_sum
from lasar_kit.stages.sft.config import SftConfig
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.stages.sft.text_config import ReasoningTextConfig
from lasar_kit.stages.sft.text_tasks import Row, SidTasks, TextTask, Writer
from lasar_kit.train.alignment import aligned, build_aligner
from lasar_kit.train.config import PromptRule
from lasar_kit.train.loop import Training
from lasar_kit.train.teacher_texts import ask_teacher, training_prompts
from lasar_kit.train.updater import Term, Update, Updater, training_processes

Pass = tuple[Callable[[], PromptBatch], float]
"""A batch, made when it is needed, and its weight."""


class SftStage:
    """Trains until validation gets no better; the artifact is the best checkpoint."""

    def __init__(self, config: SftConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the best checkpoint; report how it was reached."""
        accelerator = training_processes(context.spec.seed)
        dataset = context.dataset()
        windows = _windows(dataset.train, self.config, context.spec.max_history)
        recommender = _recommender(dataset, self.config, context, str(accelerator.device))
        return _SftTraining(self.config, context, dataset, windows, accelerator, recommender).run()


def _windows(train: Sequences, config: SftConfig, max_history: int) -> list[samples.Window]:
    if config.samples == "packed":
        return samples.packed(train, config.pack_items or max_history + 1)
    return samples.RULES[config.prompt_rule](train, max_history)


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
    try:
        return Recommender.build(context.catalogue, parts, spec.decoder, sids, env)
    except Misfit as error:
        raise UserError(f"stages.{context.name}.{error}") from None


def _text_tasks(
    config: SftConfig, context: StageContext, dataset: Dataset, recommender: Recommender
) -> list[TextTask]:
    """The tasks with texts that are on; `UserError` where the data set has nothing for one."""
    writer = Writer(recommender.backbone.tokenizer, context.sids().vocabulary)
    made: dict[str, TextTask] = {}
    if config.tasks.texts:
        prompts = partial(samples.RULES[config.prompt_rule], max_history=context.spec.max_history)
        sids = recommender.prompts.table.tokens.cpu().numpy()
        tied = SidTasks(dataset, prompts, sids, writer, config.tasks)
        made |= {f"tasks.{name}": tied.task(name) for name in config.tasks.texts}
    if config.text.weight:
        made["text"] = writer.plain("text", config.text, item_text(dataset.items, config.text.fields))
    if config.reasoning_text.weight:
        about = config.reasoning_text.samples or config.prompt_rule
        written = from_main(partial(_written, context, config.reasoning_text, about, dataset))
        made["reasoning_text"] = writer.plain("reasoning_text", config.reasoning_text, written)
    for key, task in made.items():
        if not task.size:
            raise UserError(f"stages.{context.name}.{key}: the data set has no text for this")
    return list(made.values())


def _written(
    context: StageContext, config: ReasoningTextConfig, rule: PromptRule, dataset: Dataset
) -> list[str]:
    """A teacher's texts about training prompts, in the prompts' order."""
    prompts = training_prompts(dataset, context, rule, config.max_samples)
    texts = dict(ask_teacher(context, config.teacher, dataset, prompts))
    return [text for _, text in sorted(texts.items()) if text is not None]


def _at_depth(make: Callable[[], PromptBatch], depth: Int[Tensor, "B R"]) -> PromptBatch:
    return replace(make(), depth=depth)


class _SftTraining(Training):
    """L_SFT = L_CE + alpha L_align + beta L_policy, and the tasks with texts."""

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
        self.aligner = build_aligner(context, config.aligner, recommender)
        self.tasks = _text_tasks(config, context, dataset, recommender)
        self.recent: deque[Mapping[str, float]] = deque(maxlen=self.per_epoch)
        step = SftStep(recommender, config.score, self.aligner)
        self.updater = Updater(accelerator, step, config.optimizer, self.updates, config.precision)

    def update(self, windows: Sequence[samples.Window]) -> tuple[Update, Mapping[str, float]]:
        """The mean over all answer tokens of the global batch, over all prompts with a label, and over those
        of them that the aligner holds to their anchors."""
        windows = self._thinned(windows)
        places = [place for window in windows for place in self._places(window)]
        levels = self.recommender.prompts.table.tokens.shape[1]
        terms = {"ce": Term(self.config.tasks.next_item, levels * len(places))}
        drawn = [task.draw(self.seed, self.done) for task in self.tasks]
        passes = self._passes(windows, drawn)
        if self.anchors is not None:
            labelled = held = int((self.anchors.counts(places) > 0).sum())
            if getattr(self.aligner, "counted", None) is not None:
                passes, held = self._settled(passes)
            terms["align"] = Term(self.config.align_weight, held)
            terms["policy"] = Term(self.config.policy_weight, labelled)
        for task, rows in zip(self.tasks, drawn, strict=True):
            terms[task.name] = Term(task.weight, sum(row.answer for row in rows))
        # Also where a pretrained backbone comes in evaluation mode, and validations leave it in another one.
        self.updater.plain.train()
        update = self.updater.update(passes, terms)
        self.recent.append(update.terms)
        return update, {"items": len(places)}

    def memory(self) -> dict[str, Any]:
        """The terms of the last epoch."""
        return {"recent": list(self.recent)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` gave."""
        self.recent.extend(memory["recent"])

    def note(self, update: Update, numbers: Mapping[str, float], seconds: float) -> str:
        """Loss, throughput, and the best validation so far."""
        rate = numbers["items"] / seconds
        return f"loss {update.loss:.3f} · {rate:,.0f} items/s · best {max(self.best.best, 0):.4f}"

    def _places(self, window: samples.Window) -> list[Place]:
        """Where in its user's sequence each answer of a window stands."""
        first = 1 if self.config.samples == "packed" else -1
        return [(window.user, end) for end in window.places[first:]]

    def _thinned(self, windows: Sequence[samples.Window]) -> Sequence[samples.Window]:
        """The global batch without the items that this update leaves out, the same on all processes."""
        if not self.config.item_drop:
            return windows
        draws = RowDraws(f"sft item drop {self.seed} {self.done}", range(len(windows)), len(windows))
        numbers = draws.uniform(1 + max(map(len, windows))).numpy()
        return samples.thinned(windows, self.config.item_drop, numbers)

    def _passes(self, windows: Sequence[samples.Window], drawn: Sequence[Sequence[Row]]) -> list[Pass]:
        """This process's share of a global batch, split for accumulation; one of weight 0 if it has none.

        Samples of the tasks with texts are dealt to all passes of all processes that have weight.
        """
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        largest = -(-len(windows) // processes)  # all processes make as many passes
        count = min(self.config.gradient_accumulation, largest)
        shares = [np.array_split(mine, count) for mine in np.array_split(np.arange(len(windows)), processes)]
        dealt = [(p, n) for p, parts in enumerate(shares) for n, part in enumerate(parts) if len(part)]
        passes: list[Pass] = []
        for n, part in enumerate(shares[process]):
            rows = part.tolist() or [0]
            mine = [texts[dealt.index((process, n)) :: len(dealt)] if len(part) else [] for texts in drawn]
            key = f"sft depth {self.seed} {self.done}"
            numbers = RowDraws(key, rows, len(windows)).uniform(max(map(len, windows)))
            collate = partial(self._collate, [windows[i] for i in rows], mine, numbers)
            passes.append((collate, float(len(part) > 0)))
        return passes

    def _settled(self, passes: Sequence[Pass]) -> tuple[list[Pass], int]:
        """The passes with the depth of each prompt settled, and how many prompts of all processes the aligner
        then holds: one that leaves prompts out by their depth must be asked before the first gradient."""
        settled: list[Pass] = []
        held = 0
        self.updater.plain.eval()
        for make, weight in passes:
            batch = make()
            assert batch.anchors is not None
            assert batch.label is not None
            depth = self.updater.depths(batch)
            settled.append((partial(_at_depth, make, depth), weight))
            labelled = batch.mask & (batch.label > 0)
            counted = labelled & aligned(self.aligner, depth, batch.anchors.mask.sum(-1))
            held += int(counted.sum()) * int(weight > 0)
        total = torch.tensor(held, device=self.accelerator.device)
        return settled, int(world_sum(total))

    def _depth(
        self, segments: Int[Tensor, "B R"], numbers: Float[Tensor, "B R"]
    ) -> tuple[Int[Tensor, "B R"] | None, Int[Tensor, "B R"]]:
        """How long to think of prompts with so many segments, and what the policy is to learn."""
        if self.config.depth != "at_least_label":
            return (segments if self.config.depth == "label" else None), segments
        policy = self.recommender.depth_policy
        drawn = depth_from(policy, segments, numbers)
        return torch.where(segments > 0, drawn, 0), torch.where(segments > 0, max(policy.support), 0)

    def _collate(
        self,
        windows: Sequence[samples.Window],
        drawn: Sequence[Sequence[Row]],
        numbers: Float[Tensor, "B R"],
    ) -> PromptBatch:
        prompts, loop = self.recommender.prompts, self.recommender.latent_loop
        rows = [self.train[window.user][window.places] for window in windows]
        if self.config.samples == "packed":
            batch = prompts.packed(rows, transparent=loop.transparent)
        else:
            batch = prompts.answered([(row[:-1], int(row[-1])) for row in rows])
        if self.anchors is not None:
            places = [self._places(window) for window in windows]
            anchors, label = self.anchors.batch(places, batch.tips.shape[1])
            depth, label = self._depth(label, numbers[:, : label.shape[1]])
            batch = replace(batch, anchors=anchors, depth=depth, label=label)
        tasks = {task.name: task.rows(rows) for task, rows in zip(self.tasks, drawn, strict=True)}
        return replace(batch, tasks=tasks).to(self.accelerator.device)

    def _report(self, done: int) -> dict[str, Any]:
        """With the mean of each term over the last epoch."""
        names = self.recent[-1] if self.recent else ()
        losses = {name: sum(terms[name] for terms in self.recent) / len(self.recent) for name in names}
        report = {**super()._report(done), "losses": losses}
        if self.config.samples == "packed":
            cut = samples.shortened(self.windows, self.context.spec.max_history)
            report["shortened_histories"] = round(cut, 6)
        return report
