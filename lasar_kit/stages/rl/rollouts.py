"""Rollouts: for each prompt a depth, a group of candidates, and what they earn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.capabilities import DrawsByRow
from lasar_kit.core.depth import depth_at, greedy_depth, nearest_choice
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.groups import masked_mean
from lasar_kit.core.interfaces import Decoder, Reward
from lasar_kit.core.lesson import Lesson
from lasar_kit.core.values import Judged
from lasar_kit.model.precision import autocast
from lasar_kit.model.recommender import Recommender
from lasar_kit.spec.precision import Precision
from lasar_kit.stages.rl.rewards import total_reward
from lasar_kit.stages.rl.step import Group


@dataclass(frozen=True)
class Share:
    """The rows of an update's global batch of `count` that this process has; `number` counts how often they
    were replaced."""

    update: int
    rows: Sequence[int]
    count: int
    number: int = 0

    @classmethod
    def of(cls, update: int, count: int, process: int, processes: int) -> Share:
        """Shares of consecutive rows, as equal as can be."""
        return cls(update, np.array_split(np.arange(count), processes)[process].tolist(), count)

    @property
    def made(self) -> Sequence[int]:
        """The rows to make: a process without one makes the first for nothing, as all must take part."""
        return self.rows or [0]

    @property
    def weight(self) -> float:
        """How much of the global batch this is."""
        return len(self.rows) / self.count

    def again(self, places: Sequence[int], number: int) -> Share:
        """Those of its rows at these places, to be made for the `number`-th time more."""
        return Share(self.update, [self.rows[place] for place in places], self.count, number)

    def draws(self, key: str) -> RowDraws:
        """Numbers for the rows to make, the same however the batch is shared out."""
        again = f" {self.number}" if self.number else ""
        return RowDraws(f"{key} {self.update}{again}", self.made, self.count)


@dataclass
class RolloutMaker:
    """Draws a depth for each prompt, shared by its G candidates, and lets a decoder make these (method 22).

    `sample` draws depths from the policy; else each prompt gets the most probable one. A search wider than G
    is cut to its best. With `own_texts` a loop that writes draws a text for each candidate, behind which the
    search's best item is the candidate.
    """

    recommender: Recommender
    decoder: Decoder
    rewards: Sequence[tuple[float, Reward]]
    candidates: int
    accelerator: Accelerator
    sample: bool
    seed: int
    precision: Precision = "fp32"
    width: int = 0
    own_texts: bool = False

    def make(
        self, lesson: Lesson, target: Int[Tensor, " B"], history: Int[Tensor, "B H"], share: Share
    ) -> Group:
        """The group of each prompt; the model is left in evaluation mode."""
        return self.weighed(self.roll(lesson, target, history, share), share)

    @torch.no_grad()
    def weighed(self, group: Group, share: Share) -> Group:
        """A group with the mean reward over all processes, which all must ask for."""
        mean = masked_mean(group.rewards, group.items >= 0).mean()
        world = self.accelerator.reduce(mean * share.weight, reduction="sum")
        assert isinstance(world, Tensor)
        return replace(group, world_reward=world)

    @torch.no_grad()
    def roll(
        self, lesson: Lesson, target: Int[Tensor, " B"], history: Int[Tensor, "B H"], share: Share
    ) -> Group:
        """What `make` makes, of this process alone: the mean reward is yet to be found."""
        with autocast(self.accelerator.device, self.precision):
            items, depth, index, written = self._candidates(lesson, share)
        rewards = total_reward(self.rewards, Judged(items, target, history, written))
        return Group(lesson, items, rewards, depth, index, rewards.new_zeros(()), written=written)

    def _candidates(
        self, lesson: Lesson, share: Share
    ) -> tuple[Int[Tensor, "B G"], Int[Tensor, " B"], Int[Tensor, " B"], Int[Tensor, "B X W"] | None]:
        """Items of each prompt, best first, the depth it was thought about and its index in the support, and
        what was written."""
        model = self.recommender.eval()
        prompt = model.read(lesson.prompts)
        if self.sample:
            numbers = share.draws(f"depth {self.seed}").uniform(prompt.h0.shape[1])
            depth, index, _ = depth_at(model.depth_policy, prompt, numbers)
        else:
            depth = greedy_depth(model.depth_policy, prompt)
            index = nearest_choice(model.depth_policy, depth)
        if isinstance(model.latent_loop, DrawsByRow):
            model.latent_loop.draw_from(share.draws(f"thoughts {self.seed}"))
        texts = self.candidates if self.own_texts else 1
        trace = model.think(prompt.branched(texts), depth.expand(-1, texts))
        if trace.depth is not None:
            depth, index = trace.depth, nearest_choice(model.depth_policy, trace.depth)
        if isinstance(self.decoder, DrawsByRow):
            self.decoder.draw_from(share.draws(f"candidates {self.seed}"))
        width = max(self.width, 1 if self.own_texts else self.candidates)
        found = self.decoder.search(model.backbone, trace, width)
        if not self.own_texts:
            return found.items[:, 0, : self.candidates], depth[:, 0], index[:, 0], trace.written
        order = found.logp[:, :, 0].argsort(dim=1, descending=True, stable=True)
        items, written = found.items[:, :, 0].gather(1, order), trace.written
        assert written is not None, "a loop that writes leaves what it wrote"
        written = written.gather(1, order[..., None].expand_as(written))
        return items, depth[:, 0], index[:, 0], written
