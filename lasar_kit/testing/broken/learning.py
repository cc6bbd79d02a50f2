"""Aligners, objectives and rewards that break their laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Anchors, Judged, LatentTrace, Rollout
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyAligner, TinyObjective, TinyReward, TinySftObjective

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


@breaks(BROKEN, "rl_objective", "loss_is_a_finite_number")
class ReportsTensors(TinyObjective):
    """Reports tensors."""

    def loss(self, rollout: Rollout) -> Any:
        loss, _ = super().loss(rollout)
        return loss, {"loss": loss}


@breaks(BROKEN, "rl_objective", "loss_changes_no_state")
class MovesInLoss(TinyObjective):
    """Moves its baseline when asked for the loss."""

    def loss(self, rollout: Rollout) -> Any:
        self.observe(rollout)
        return super().loss(rollout)


@breaks(BROKEN, "rl_objective", "missing_candidates_are_ignored")
class CountsAll(TinyObjective):
    """Takes every candidate for valid."""

    def loss(self, rollout: Rollout) -> Any:
        return super().loss(replace(rollout, valid=torch.ones_like(rollout.valid)))


@breaks(BROKEN, "rl_objective", "order_does_not_matter")
class FirstCountsMost(TinyObjective):
    """Weighs candidates by their place."""

    def loss(self, rollout: Rollout) -> Any:
        weight = torch.linspace(1, 0, rollout.valid.shape[1])[:, None]
        return super().loss(replace(rollout, logp=rollout.logp * weight))


@breaks(BROKEN, "rl_objective", "shares_make_up_the_batch")
class OverAllCandidates(TinyObjective):
    """Averages over the candidates of the batch, of which prompts have different numbers."""

    def loss(self, rollout: Rollout) -> Any:
        _, report = super().loss(rollout)
        logp = rollout.logp.float().masked_fill(~rollout.valid[..., None], 0.0).mean(-1)
        return -(rollout.rewards * logp).sum() / rollout.valid.sum().clamp_min(1), report


@breaks(BROKEN, "rl_objective", "gradient_reaches_the_policy_alone")
class TrainsTheReference(TinyObjective):
    """Lets a gradient run into the reference."""

    def loss(self, rollout: Rollout) -> Any:
        loss, report = super().loss(rollout)
        gap = (rollout.logp - rollout.ref_logp).masked_fill(~rollout.valid[..., None], 0.0)
        return loss + gap.float().square().mean(), report


@breaks(BROKEN, "rl_objective", "what_earns_more_grows_likelier")
class WrongSign(TinyObjective):
    """Minimises the gain."""

    def loss(self, rollout: Rollout) -> Any:
        loss, report = super().loss(rollout)
        return -loss, report


@breaks(BROKEN, "rl_objective", "a_depth_never_chosen_changes_nothing")
class PricesTheIndex(TinyObjective):
    """Takes a depth's place in the support for the depth."""

    def loss(self, rollout: Rollout) -> Any:
        cost = 0.1 * rollout.depth_index[:, None]
        return super().loss(replace(rollout, rewards=rollout.rewards - cost))


@breaks(BROKEN, "rl_objective", "ranks_stay_alike")
class OwnMean(TinyObjective):
    """Averages the rewards of its own process."""

    def observe(self, rollout: Rollout) -> None:
        self.baseline = (self.baseline + rollout.rewards.detach().mean()) / 2


@breaks(BROKEN, "rl_objective", "the_reference_pulls")
class Repels(TinyObjective):
    """Adds the squared distance from the reference with the wrong sign."""

    def loss(self, rollout: Rollout) -> Any:
        loss, report = super().loss(rollout)
        gap = (rollout.logp - rollout.ref_logp.detach()).float().masked_fill(~rollout.valid[..., None], 0.0)
        return loss - 0.01 * gap.square().mean(-1).mean(), report


@breaks(BROKEN, "rl_objective", "old_policy_is_used")
class ForgetsTheOldPolicy(TinyObjective):
    """Divides by the policy as it is."""

    def loss(self, rollout: Rollout) -> Any:
        now = replace(rollout, old_logp=rollout.logp.detach(), old_depth_logp=rollout.depth_logp.detach())
        return super().loss(now)


@breaks(BROKEN, "rl_objective", "clipping_is_on_both_sides")
class HoldsTheLikelier(TinyObjective):
    """Clips ratios above alone."""

    def loss(self, rollout: Rollout) -> Any:
        most = rollout.old_logp.detach() + 0.2
        return super().loss(replace(rollout, logp=torch.minimum(rollout.logp, most)))


@breaks(BROKEN, "rl_objective", "loss_is_computed_in_float32")
class StaysNarrow(TinyObjective):
    """Adds up in the type of the log-probabilities."""

    def loss(self, rollout: Rollout) -> Any:
        loss, report = super().loss(rollout)
        kl = (rollout.logp - rollout.ref_logp.detach()).masked_fill(~rollout.valid[..., None], 0.0)
        return loss + kl.square().sum().float(), report


@breaks(BROKEN, "rl_objective", "exact_kl_is_declared")
class ReadsKl(TinyObjective):
    """Reads what it did not ask for."""

    def loss(self, rollout: Rollout) -> Any:
        loss, report = super().loss(rollout)
        if rollout.ref_kl is None:
            return loss, report
        return loss + rollout.ref_kl.masked_fill(~rollout.valid[..., None], 0.0).float().mean(), report


@breaks(BROKEN, "rl_objective", "reads_answers_is_declared")
class ReadsAnswers(TinyObjective):
    """Says that the depth is all it reads."""

    reads_answers = False


@breaks(BROKEN, "rl_objective", "observing_keeps_no_graph")
class KeepsTheGraph(TinyObjective):
    """Averages what still has a gradient."""

    def observe(self, rollout: Rollout) -> None:
        self.baseline = (self.baseline + rollout.rewards.mean()) / 2


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

    def reward(self, candidates: Tensor, target: Tensor) -> Tensor:
        return (candidates != target[:, None]).float() * (candidates >= 0)


@breaks(BROKEN, "reward", "prompts_are_judged_alone")
class Centred(TinyReward):
    """Takes off the mean of the batch."""

    def reward(self, judged: Judged) -> Tensor:
        rewards = super().reward(judged)
        return (rewards - rewards.mean()) * (judged.candidates >= 0)
