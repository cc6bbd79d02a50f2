"""Supervised fine-tuning (paper section 2.3): stage 1 grounds SIDs, stage 2 aligns thoughts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from rich.markup import escape
from torch import Tensor

from lasar_kit.core import samples
from lasar_kit.core.capabilities import OwnSamples
from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.depth import depth_from
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import SftObjective
from lasar_kit.core.lesson import Lesson
from lasar_kit.core.values import Env
from lasar_kit.core.words import Words
from lasar_kit.data.anchor_store import Place
from lasar_kit.data.rationales import Rationales
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import from_main, world_sum
from lasar_kit.spec import ComponentConfig
from lasar_kit.stages.sft.config import SftConfig
from lasar_kit.stages.sft.means import TermMeans
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.store.artifacts import key_of
from lasar_kit.train.alignment import objective_env
from lasar_kit.train.loop import Training
from lasar_kit.train.start import begin
from lasar_kit.train.teacher_texts import TextLog, ask_teacher
from lasar_kit.train.updater import Term, Update, Updater, training_processes

Pass = tuple[Lesson, float]
"""A batch, off the accelerator, and its weight."""


class SftStage:
    """Trains until validation gets no better; the artifact is the best checkpoint, or the last, by `keep`."""

    def __init__(self, config: SftConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the checkpoint; report how it was reached."""
        accelerator = training_processes(context.spec.seed)
        dataset = context.dataset()
        config, device = self.config, str(accelerator.device)
        recommender = begin(context, device, config.latent_loop, config.depth_policy, config.fresh)
        windows = _windows(dataset.train, config, context.spec.max_history, recommender.prompts.fit)
        return _SftTraining(self.config, context, dataset, windows, accelerator, recommender).run()


def _windows(train: Sequences, config: SftConfig, max_history: int, fit: int | None) -> samples.Windows:
    """Training samples; the last answer of a packed pass has a prompt of at most `fit` items before it."""
    if config.samples == "packed":
        items = config.pack_items or max_history + 1
        return samples.packed(train, items if fit is None else min(items, fit + 1))
    return samples.prompts(train, config.prompt_rule, max_history)


def _objectives(
    config: SftConfig,
    context: StageContext,
    dataset: Dataset,
    recommender: Recommender,
    anchored: bool,
) -> dict[str, tuple[float, SftObjective]]:
    """The terms of the loss: weight and objective by name.

    Short forms that lack anchors are left out. `UserError` where the data set has nothing for one.
    """
    env = objective_env(context, recommender)
    env = replace(env, written=_Written(context, dataset))
    built: dict[str, tuple[float, SftObjective]] = {}
    for term in config.terms:
        objective: SftObjective = context.catalogue.build("sft_objective", term.objective, env)
        if not anchored and {"anchors", "rationale"}.intersection(objective.needs):
            assert not term.place, "a spec that asks for it by name was refused"
            continue
        if isinstance(objective, OwnSamples) and not objective.size:
            raise UserError(
                f"stages.{context.name}.{term.place}: the data set has no text for this; leave it out, or "
                "give the items texts"
            )
        built[term.name] = term.weight, objective
    return built


class _Written:
    """A teacher's texts about training prompts, in the prompts' order, the same on all processes.

    Objectives that ask for the same share them, and a stage that goes on finds them in its work folder: some
    teachers are paid, others slow.
    """

    def __init__(self, context: StageContext, dataset: Dataset) -> None:
        self.context, self.dataset = context, dataset
        self.known: dict[tuple[str, str, int], list[tuple[samples.Window, str]]] = {}

    def __call__(self, teacher: ComponentConfig, rule: str, most: int) -> list[tuple[samples.Window, str]]:
        key = (teacher.model_dump_json(), rule, most)
        if key not in self.known:
            path = self.context.work / f"texts-{key_of(*key)}.jsonl"
            self.known[key] = from_main(partial(self._ask, path, teacher, rule, most))
        return self.known[key]

    def _ask(
        self, path: Path, teacher: ComponentConfig, rule: str, most: int
    ) -> list[tuple[samples.Window, str]]:
        spec = self.context.spec
        windows = samples.prompts(self.dataset.train, rule, spec.max_history, most, spec.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        with TextLog(path, len(windows)) as log:
            if missing := log.missing:
                answers = ask_teacher(self.context, teacher, self.dataset, windows, missing)
                log.fill(answers, lambda text: [])
            texts = [log[n][0] for n in range(len(windows))]
        return [(window, text) for window, text in zip(windows, texts, strict=True) if text is not None]


class _SftTraining(Training):
    """L_SFT: the weighted sum of its objectives (paper: L_CE + alpha L_align + beta L_policy)."""

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
        self.terms = _objectives(config, context, dataset, recommender, self.anchors is not None)
        objectives = {name: objective for name, (_, objective) in self.terms.items()}
        needs = {need for objective in objectives.values() for need in objective.needs}
        self.settles = "depth" in needs
        self.rationales: Rationales | None = None
        if "rationale" in needs or config.latent_loop.writes:
            words = Words(recommender.backbone.tokenizer, objective_env(context, recommender).vocabulary)
            folder = context.inputs["anchors"]
            self.rationales = Rationales(folder, dataset.users, words, config.rationale_tokens)
        self.means = TermMeans(self.per_epoch)
        step = SftStep(recommender, config.score, objectives)
        self.updater = Updater(
            accelerator, step, config.optimizer, self.updates, config.precision, compiler=config.compile
        )

    @property
    def validates_first(self) -> bool:
        """By `validate_first`."""
        return self.config.validate_first

    def update(self, windows: Sequence[samples.Window]) -> tuple[Update, Mapping[str, float]]:
        """One on the mean of each objective over all that it counts in the global batch."""
        windows = self._thinned(windows)
        passes = self._passes(windows)
        if self.settles:
            passes = self._settled(passes)
        terms = self._counted(passes)
        # Also where a pretrained backbone comes in evaluation mode, and validations leave it in another one.
        self.updater.plain.train()
        device = self.accelerator.device
        moved = [(partial(lesson.to, device), weight) for lesson, weight in passes]
        update = self.updater.update(moved, terms)
        self.means.add(update.terms, terms)
        packed = self.config.samples == "packed"
        return update, {"items": sum(map(len, windows)) - len(windows) if packed else len(windows)}

    def memory(self) -> dict[str, Any]:
        """What the terms of the loss were."""
        return self.means.memory()

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` gave."""
        self.means.recall(memory)

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

    def _passes(self, windows: Sequence[samples.Window]) -> list[Pass]:
        """This process's share of a global batch, split for accumulation; one of weight 0 if it has none.

        Samples of objectives with their own are dealt to all passes of all processes that have weight.
        """
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        largest = -(-len(windows) // processes)  # all processes make as many passes
        count = min(self.config.gradient_accumulation, largest)
        shares = [np.array_split(mine, count) for mine in np.array_split(np.arange(len(windows)), processes)]
        dealt = [(p, n) for p, parts in enumerate(shares) for n, part in enumerate(parts) if len(part)]
        drawn = {
            name: (objective, objective.draw(self.done))
            for name, (_, objective) in self.terms.items()
            if isinstance(objective, OwnSamples)
        }
        passes: list[Pass] = []
        for n, part in enumerate(shares[process]):
            rows = part.tolist() or [0]
            first = dealt.index((process, n)) if len(part) else None
            own = {
                name: objective.collate(every[first :: len(dealt)] if first is not None else [])
                for name, (objective, every) in drawn.items()
            }
            key = f"sft depth {self.seed} {self.done}"
            numbers = RowDraws(key, rows, len(windows)).uniform(max(map(len, windows)))
            lesson = self._lesson([windows[i] for i in rows], numbers)
            lesson = replace(lesson, rows=own, epoch=self.done // self.per_epoch)
            passes.append((lesson, float(len(part) > 0)))
        return passes

    def _settled(self, passes: Sequence[Pass]) -> list[Pass]:
        """The passes with the depth of each prompt settled: an objective that counts prompts by their depth
        must be asked before the first gradient."""
        self.updater.plain.eval()
        device = self.accelerator.device
        return [
            (replace(lesson, depth=self.updater.depths(lesson.to(device)).cpu(), settled=True), weight)
            for lesson, weight in passes
        ]

    def _counted(self, passes: Sequence[Pass]) -> dict[str, Term]:
        """The terms, each with the number of things of the global batch that it is a mean over."""
        mine = [
            sum(objective.count(lesson, lesson.rows.get(name)) * int(weight) for lesson, weight in passes)
            for name, (_, objective) in self.terms.items()
        ]
        counts = world_sum(torch.tensor(mine, device=self.accelerator.device)).tolist()
        return {
            name: Term(weight, count)
            for (name, (weight, _)), count in zip(self.terms.items(), counts, strict=True)
        }

    def _depth(
        self, segments: Int[Tensor, "B R"], numbers: Float[Tensor, "B R"]
    ) -> tuple[Int[Tensor, "B R"] | None, Int[Tensor, "B R"]]:
        """How long to think of prompts with so many segments, and what the policy is to learn."""
        if self.config.depth != "at_least_label":
            return (segments if self.config.depth == "label" else None), segments
        policy = self.recommender.depth_policy
        drawn = depth_from(policy, segments, numbers)
        return torch.where(segments > 0, drawn, 0), torch.where(segments > 0, max(policy.support), 0)

    def _lesson(self, windows: Sequence[samples.Window], numbers: Float[Tensor, "B R"]) -> Lesson:
        prompts, loop = self.recommender.prompts, self.recommender.latent_loop
        rows, users = [window.of(self.train) for window in windows], [window.user for window in windows]
        if self.config.samples == "packed":
            lesson = prompts.packed(rows, loop.transparent, users)
        else:
            lesson = prompts.answered([(row[:-1], int(row[-1])) for row in rows], users)
        if self.anchors is not None:
            places = [self._places(window) for window in windows]
            anchors, label = self.anchors.batch(places, lesson.prompts.tips.shape[1])
            depth, label = self._depth(label, numbers[:, : label.shape[1]])
            lesson = replace(lesson, anchors=anchors, depth=depth, label=label)
        if self.rationales is not None:
            places = [self._places(window) for window in windows]
            written = self.rationales.batch(places, lesson.prompts.tips.shape[1])
            lesson = replace(lesson, rationale=written)
        return lesson

    def _report(self, done: int) -> dict[str, Any]:
        """With the mean of each term over what it counted in the last epoch, and those that were always 0."""
        asked = {term.name: term.place for term in self.config.terms if term.weight and term.place}
        warnings = list(self.means.idle(asked, done))
        for line in warnings:
            self.context.screen.print(f"[yellow]{escape(f'stages.{self.context.name}.{line}')}[/yellow]")
        report = {**super()._report(done), "losses": self.means.losses, "warnings": warnings}
        if self.config.samples == "packed":
            assert isinstance(self.windows, samples.Windows), "of `_windows`"
            cut = samples.shortened(self.windows, self.context.spec.max_history)
            report["shortened_histories"] = round(cut, 6)
        return report
