"""RL objectives that break their laws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from lasar_kit.core.values import Rollout
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.tiny import TinyObjective

BROKEN: Saboteurs = {}


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


@breaks(BROKEN, "rl_objective", "reads_reference_is_declared")
class ReadsReference(TinyObjective):
    """Says that it can do without the reference, and goes by it."""

    reads_reference = False

    def loss(self, rollout: Rollout) -> Any:
        loss, report = super().loss(rollout)
        return loss + rollout.ref_logp.masked_fill(~rollout.valid[..., None], 0.0).float().mean(), report


@breaks(BROKEN, "rl_objective", "observing_keeps_no_graph")
class KeepsTheGraph(TinyObjective):
    """Averages what still has a gradient."""

    def observe(self, rollout: Rollout) -> None:
        self.baseline = (self.baseline + rollout.rewards.mean()) / 2
