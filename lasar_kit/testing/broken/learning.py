"""Aligners, SFT objectives and rewards that break their laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Anchors, Judged, LatentTrace
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyAligner, TinyReward, TinySftObjective

BROKEN: Saboteurs = {}


def _pairs(trace: LatentTrace, anchors: Anchors) -> tuple[Tensor, Tensor, Tensor]:
    count = min(trace.mask.shape[-1], anchors.mask.shape[-1])
    both = trace.mask[..., :count] & anchors.mask[..., :count]
    return trace.states[..., :count, :], anchors.states[..., :count, :].detach(), both


@breaks(BROKEN, "aligner", "loss_is_never_negative")
class Signed(TinyAligner):
    """Takes a difference for a distance."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).mean(-1)


@breaks(BROKEN, "aligner", "zero_on_identity")
class NextSegment(TinyAligner):
    """Compares thought t with segment t + 1."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        return super().loss(trace, Anchors(anchors.states[..., 1:, :], anchors.mask[..., 1:]))


@breaks(BROKEN, "aligner", "zero_without_thoughts_or_anchors")
class ByNothing(TinyAligner):
    """Divides by the number of pairs, 0 or not."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        both = _pairs(trace, anchors)[2].sum(-1)
        return super().loss(trace, anchors) * both.clamp_min(1) / both


@breaks(BROKEN, "aligner", "masked_places_are_ignored")
class TimesZero(TinyAligner):
    """Multiplies by the mask once all is computed."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        thoughts, segments, both = _pairs(trace, anchors)
        return (self.distance(thoughts, segments) * both).sum(-1) / both.sum(-1).clamp_min(1)


@breaks(BROKEN, "aligner", "padding_changes_nothing")
class MeanOverPads(TinyAligner):
    """Divides by the length of the tensor."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        both = _pairs(trace, anchors)[2].sum(-1)
        return super().loss(trace, anchors) * both / max(trace.mask.shape[-1], 1)


@breaks(BROKEN, "aligner", "branches_are_judged_alone")
class OverTheBatch(TinyAligner):
    """Divides by the number of rows."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        return super().loss(trace, anchors) / len(trace.mask)


@breaks(BROKEN, "aligner", "what_is_not_counted_has_no_loss")
class CountsFew(TinyAligner):
    """Counts the branches that have a segment for each thought, and gives all of them a loss."""

    def counted(self, thoughts: Tensor, segments: Tensor) -> Tensor:
        return thoughts <= segments


@breaks(BROKEN, "aligner", "gradient_reaches_thoughts_alone")
class DetachesThoughts(TinyAligner):
    """Detaches the wrong side."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        return super().loss(replace(trace, states=trace.states.detach()), anchors)


@breaks(BROKEN, "aligner", "every_pair_is_felt")
class LastPairAlone(TinyAligner):
    """Compares the last pair of a branch and no other."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        pairs = _pairs(trace, anchors)[2].sum(-1, keepdim=True)
        masks = (mask & (torch.arange(mask.shape[-1]) == pairs - 1) for mask in (trace.mask, anchors.mask))
        own, other = masks
        return super().loss(replace(trace, mask=own), Anchors(anchors.states, other))


@breaks(BROKEN, "aligner", "loss_is_computed_in_float32")
class Narrow(TinyAligner):
    """Computes in the type of the states."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean(-1)


@breaks(BROKEN, "sft_objective", "needs_are_known")
class NeedsAWish(TinySftObjective):
    """Needs what no lesson has."""

    needs = ("wishes",)


@breaks(BROKEN, "sft_objective", "count_and_loss_are_a_number_each")
class OneEach(TinySftObjective):
    """Returns a loss a prompt."""

    def loss(self, view: SftView) -> Tensor:
        return -self.logp(view)


@breaks(BROKEN, "sft_objective", "parts_add_up_to_the_whole")
class MeanOfBatch(TinySftObjective):
    """Divides by the prompts of its batch."""

    def loss(self, view: SftView) -> Tensor:
        return super().loss(view) / max(1, self.count(view.lesson, None))


@breaks(BROKEN, "sft_objective", "prompts_that_do_not_count_are_left_out")
class EveryPrompt(TinySftObjective):
    """Sums over all prompts."""

    def loss(self, view: SftView) -> Tensor:
        return -self.logp(view).sum()


@breaks(BROKEN, "sft_objective", "nothing_to_learn_is_no_loss")
class OneAtLeast(TinySftObjective):
    """Counts one prompt where there is none."""

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        return max(1, super().count(lesson, rows))


@breaks(BROKEN, "sft_objective", "gradient_reaches_the_model")
class Watches(TinySftObjective):
    """Computes without gradients."""

    def loss(self, view: SftView) -> Tensor:
        return super().loss(view).detach()


@breaks(BROKEN, "sft_objective", "own_samples_are_those_of_the_update")
class SameEveryTime(TinySftObjective):
    """Draws the same samples in every update."""

    size = 3

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        assert rows is not None
        return int((rows.answers > 0).sum())

    def draw(self, update: int) -> list[int]:
        return [3, 4, 5]

    def collate(self, samples: Sequence[int]) -> TaskRows:
        ids = torch.tensor([[token, token] for token in samples or [3]])
        return TaskRows(ids, torch.tensor([1 for _ in samples] or [0]), sid=False)

    def loss(self, view: SftView) -> Tensor:
        asked = view.rows.answers > 0
        states, _ = view.backbone.advance(
            view.backbone.embed(view.rows.ids), torch.tensor([[-1, 0]] * len(asked)), None
        )
        logp = view.backbone.logits(states[:, 0]).log_softmax(-1)
        return -logp.gather(-1, view.rows.ids[:, 1:])[:, 0][asked].sum()


@breaks(BROKEN, "reward", "rewards_are_finite")
class Standardised(TinyReward):
    """Divides by a deviation that may be 0."""

    def reward(self, judged: Judged) -> Tensor:
        rewards = super().reward(judged)
        return rewards / rewards.std(dim=1, correction=0, keepdim=True)


@breaks(BROKEN, "reward", "missing_candidates_get_nothing")
class FinesAll(TinyReward):
    """Takes something from all that is not the target."""

    def reward(self, judged: Judged) -> Tensor:
        return super().reward(judged) - 0.1


@breaks(BROKEN, "reward", "the_target_earns_most")
class OthersEarn(TinyReward):
    """Rewards whatever is not the target."""

    def reward(self, judged: Judged) -> Tensor:
        return (1 - super().reward(judged)) * (judged.candidates >= 0)


@breaks(BROKEN, "reward", "prompts_are_judged_alone")
class Centred(TinyReward):
    """Takes off the mean of the batch."""

    def reward(self, judged: Judged) -> Tensor:
        rewards = super().reward(judged)
        return (rewards - rewards.mean()) * (judged.candidates >= 0)


@breaks(BROKEN, "reward", "a_text_is_its_own_candidates")
class FirstTextCounts(TinyReward):
    """Reads the first text for all candidates."""

    def reward(self, judged: Judged) -> Tensor:
        rewards = super().reward(judged) + (judged.candidates >= 0)
        return rewards if judged.written is None else rewards * (judged.written[:, :1, 0] >= 0)
