"""Reinforcement learning of answers and depth together (paper section 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor, nn

from lasar_kit.core import samples
from lasar_kit.core.dataset import Dataset
from lasar_kit.core.groups import varied
from lasar_kit.core.interfaces import RLObjective
from lasar_kit.core.lesson import Lesson, moved
from lasar_kit.core.values import Env
from lasar_kit.data.stage_context import StageContext
from lasar_kit.model.parts import restore_decoder
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import mean_of, world_mean, world_sum
from lasar_kit.stages.rl import choice
from lasar_kit.stages.rl.config import ALIGN, RlConfig, named
from lasar_kit.stages.rl.health import Watched
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.step import Group, RlStep, compared, depth_numbers, hit, joined
from lasar_kit.train.alignment import build_aligner, objective_env
from lasar_kit.train.updater import Term, Update, Updater, training_processes


def _same(group: Group) -> Group:
    return group


class RlStage:
    """GRPO on the answers, REINFORCE on the depth policy, terminal alignment; from a checkpoint."""

    def __init__(self, config: RlConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the best checkpoint, or the last, by `keep`; report how it was reached."""
        accelerator = training_processes(context.spec.seed)
        dataset = context.dataset()
        recommender = Recommender.load(
            context.inputs["checkpoint"],
            context.catalogue,
            context.spec.decoder,
            context.sids(),
            context.env(device=str(accelerator.device)),
        )
        windows, chosen = self._windows(context, dataset, recommender, accelerator)
        training = _RlTraining(self.config, context, dataset, windows, accelerator, recommender)
        return training.run() | chosen

    def _windows(
        self, context: StageContext, dataset: Dataset, recommender: Recommender, accelerator: Accelerator
    ) -> tuple[samples.Windows, dict[str, Any]]:
        """The prompts to roll out, thinned by the seed if so asked; and what to report of the choice."""
        config, seed = self.config, context.spec.seed
        limit = config.max_samples if config.prompts == "uniform" else 0
        windows = samples.prompts(dataset.train, config.samples, context.spec.max_history, limit, seed)
        if limit or not 0 < config.max_samples < len(windows):
            return windows, {}
        chance = choice.chances(recommender, dataset.train, windows, config, accelerator)
        likely = choice.drawn(chance, config.max_samples, seed)
        told = {"all": float(chance.mean()), "chosen": float(chance[likely].mean())}
        context.screen.print(
            f"  {len(likely):,} of {len(windows):,} prompts, whose candidates differ with a chance of "
            f"{told['chosen']:.3f} (all: {told['all']:.3f})"
        )
        return windows.at(likely), {"chance": told}


class _RlTraining(Watched):
    """L = sum of weighted objectives + gamma_KL L_terminal."""

    goes_on = True

    def __init__(
        self,
        config: RlConfig,
        context: StageContext,
        dataset: Dataset,
        windows: Sequence[samples.Window],
        accelerator: Accelerator,
        recommender: Recommender,
    ) -> None:
        super().__init__(config, context, dataset, windows, accelerator, recommender)
        self.config = config
        if not config.align_weight or config.texts == "own":
            self.anchors = None
        self.objectives, self.terms = self._objectives()
        # The policy as RL finds it, without dropout, so that ratios compare like with like.
        reference = recommender.frozen() if compared(self.objectives.values()) else None
        aligner = build_aligner(context, config.aligner, recommender)
        self.inner = RlStep(recommender, reference, self.objectives, aligner, config.score)
        total = self.updates * config.updates_per_rollout
        rates = {}
        if config.depth_lr is not None and isinstance(recommender.depth_policy, nn.Module):
            rates["recommender.depth_policy"] = config.depth_lr
        self.updater = Updater(
            accelerator, self.inner, config.optimizer, total, config.precision, rates, config.compile
        )
        self.rollouts = self._rollouts()
        self.best.depth_cost = config.depth_cost

    def _objectives(self) -> tuple[dict[str, RLObjective], dict[str, Term]]:
        """Objectives by name, and each term's weight; its count differs from rollout to rollout."""
        built: dict[str, RLObjective] = {}
        terms = {}
        for name, entry in named(self.config.objectives).items():
            built[name] = self.context.catalogue.build("rl_objective", entry.objective, self._env())
            terms[name] = Term(entry.weight, 1)
        if self.anchors is not None:
            terms[ALIGN] = Term(self.config.align_weight, 1)
        return built, terms

    def _env(self) -> Env:
        return objective_env(self.context, self.recommender)

    def _rollouts(self) -> RolloutMaker:
        catalogue, env = self.context.catalogue, self._env()
        decoder = catalogue.build("decoder", self.config.rollout, env)
        if isinstance(decoder, nn.Module):
            restore_decoder(decoder, self.config.rollout, self.context.inputs["checkpoint"])
            decoder.to(self.recommender.device)
        decoder.bind(self.recommender.prompts.table)
        rewards = [(one.weight, catalogue.build("reward", one.reward, env)) for one in self.config.rewards]
        return RolloutMaker(
            self.recommender,
            decoder,
            rewards,
            self.config.candidates,
            self.accelerator,
            self.config.depth == "sample",
            self.seed,
            self.config.precision,
            self.config.rollout.width,
            self.config.texts == "own",
        )

    def update(self, windows: Sequence[samples.Window]) -> tuple[Update, Mapping[str, float]]:
        """Roll out the prompts once, then update on the candidates as often as configured."""
        accelerator = self.accelerator
        share = Share.of(self.done, len(windows), accelerator.process_index, accelerator.num_processes)
        self.rollouts.recommender = self.updater.readable()
        group, target, refilled = self._rolled_out([windows[row] for row in share.made], share)
        self.inner.eval()
        terms, passes = self._counted(group, share), self._passes(group, share)
        for _ in range(self.config.updates_per_rollout):
            update = self.updater.update([(partial(_same, part), weight) for part, weight in passes], terms)
            passes = [
                (part.made_by(result.rollout), weight)
                for (part, weight), result in zip(passes, update.results, strict=True)
            ]
        # A process without prompts has one pass, which does not count; its objectives observe all the same.
        real = [result for result, (_, weight) in zip(update.results, passes, strict=True) if weight]
        real = real or list(update.results[:1])
        for objective in self.objectives.values():
            objective.observe(joined([result.rollout for result in real]))
        numbers = {
            "reward": float(group.world_reward),
            "group_hit": float(hit(group.items, target).float().mean()),
            **({"refilled": refilled} if self.config.refill else {}),
            **depth_numbers(group.depth, max(self.recommender.depth_policy.support)),
            **mean_of([(result.numbers, len(result.rollout.depth)) for result in real]),
        }
        return update, self.watched(world_mean(numbers, share.weight))

    def _rolled_out(
        self, windows: list[samples.Window], share: Share
    ) -> tuple[Group, Int[Tensor, " B"], float]:
        """The groups of some prompts, or of others where all candidates earned the same, with their targets;
        and how many others there were for each prompt."""
        lesson, target, history = self._collate(windows)
        group, replaced = self.rollouts.roll(lesson, target, history, share), 0
        for number in range(1, self.config.refill + 1 if share.rows else 1):
            constant = (~varied(group.rewards, group.items >= 0)).nonzero()[:, 0].tolist()
            if not constant:
                break
            again = share.again(constant, number)
            fresh = choice.others(self.windows, again, self.seed)
            for place, window in zip(constant, fresh, strict=True):
                windows[place] = window
            rolled = self.rollouts.roll(*self._collate(fresh), again)
            lesson, target, _ = self._collate(windows)
            group, replaced = group.replaced(constant, rolled, lesson), replaced + len(constant)
        return self.rollouts.weighed(group, share), target, replaced / len(windows)

    def _passes(self, group: Group, share: Share) -> list[tuple[Group, float]]:
        """The group's prompts split for accumulation, each part with its weight; as many parts on every
        process, those without a prompt of weight 0."""
        largest = -(-share.count // self.accelerator.num_processes)
        count = min(self.config.gradient_accumulation, largest)
        if count == 1:
            return [(group, float(len(share.rows) > 0))]
        parts = np.array_split(np.arange(len(share.rows)), count)
        return [(group.prompts(part.tolist() or [0]), float(len(part) > 0)) for part in parts]

    def _counted(self, group: Group, share: Share) -> dict[str, Term]:
        """The terms, each with the number of prompts of the global batch that it is a mean over."""
        counted = self.inner.counts(group)
        mine = torch.tensor([counted[name] if share.rows else 0 for name in self.terms])
        counts = world_sum(mine.to(self.accelerator.device)).tolist()
        return {
            name: replace(term, count=count)
            for (name, term), count in zip(self.terms.items(), counts, strict=True)
        }

    def note(self, update: Update, numbers: Mapping[str, float], seconds: float) -> str:
        """Reward, depth, and the best validation so far."""
        best = max(self.best.best, 0)
        return f"reward {numbers['reward']:+.4f} · depth {numbers['depth']:.2f} · best {best:.4f}"

    def _collate(
        self, windows: Sequence[samples.Window]
    ) -> tuple[Lesson, Int[Tensor, " B"], Int[Tensor, "B H"]]:
        """The prompts, their targets, and the histories they show, -1 past the end."""
        rows = [window.of(self.train) for window in windows]
        lesson = self.recommender.prompts.answered(
            [(row[:-1], int(row[-1])) for row in rows], [window.user for window in windows]
        )
        if self.anchors is not None:
            places = [[(window.user, window.stop - 1)] for window in windows]
            anchors, label = self.anchors.batch(places, 1)
            lesson = replace(lesson, anchors=anchors, label=label)
        # Items that share a SID: a beam names the first of them.
        table = self.recommender.prompts.table
        target = torch.tensor(
            [int(table.items_like(int(row[-1]))[0]) if table.shared else int(row[-1]) for row in rows]
        )
        history = torch.full((len(rows), max(len(row) - 1 for row in rows)), -1)
        for place, row in enumerate(rows):
            history[place, : len(row) - 1] = torch.from_numpy(row[:-1].astype(np.int64))
        device = self.accelerator.device
        return lesson.to(device), moved(target, device), moved(history, device)
