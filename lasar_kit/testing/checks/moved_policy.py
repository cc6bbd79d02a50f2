"""Laws for every RL objective once its policy has moved: from the rollout's, or from the reference."""

from __future__ import annotations

from dataclasses import replace

import torch

from lasar_kit.core.values import Rollout
from lasar_kit.testing.checks.rl_objective import gradients, leaves_of, rl_objective
from lasar_kit.testing.contract import Subject, expect
from lasar_kit.testing.strategies import Rolled

__all__ = ["rl_objective"]

FAR, NEAR = 1.2, 0.1
"""Log-ratios beyond any usual clip, and within it."""
BITS = 1e-7
"""The most that may be rounding in a gradient."""
Pushes = dict[str, float]
"""A step's effect on the log-probability of prompt 0's first candidate, and of its depth."""


@rl_objective.check(
    "Put the KL, towards the reference, into the loss with a gradient at logp: mind its sign."
)
def the_reference_pulls(subject: Subject, case: Rolled) -> None:
    """A candidate that earned its group's mean, away from the reference, is drawn towards it or let be."""
    for others in (0.0, 1.0):
        rollout = _earning(_as_it_was(case), 0.0, others)
        at, _ = _pushes(subject, rollout)
        for by in (1.0, -1.0):
            told = f"rewards {rollout.rewards[0].tolist()}, logp - ref_logp {by:g}: "
            loss, pushes = _pushes(subject, _from_reference(rollout, by))
            pull = pushes["candidate"]
            expect(pull * by <= BITS, f"{told}its push is {pull:.3g}")
            idle = abs(loss - at) > 1e-6 and abs(pull) < 1e-9
            expect(not idle, f"{told}the loss moves by {loss - at:.3g}, but no gradient reaches logp")
    made, leaves = leaves_of(case.rollout)
    least = float(gradients(subject.component.loss(made)[0], leaves)["ref_kl"].min())
    expect(least >= -BITS, f"the loss falls as ref_kl grows: its gradient is {least:.3g}")


@rl_objective.check("Weigh by the ratio (logp - old_logp).exp(), with its gradient; detach old_logp alone.")
def old_policy_is_used(subject: Subject, case: Rolled) -> None:
    """Candidates grown likelier since the rollout are pushed more for a reward, others less."""
    rollout = _as_it_was(case)
    gains = {by: _gains(subject, _since(rollout, by), 5.0) for by in (-NEAR, 0.0, NEAR)}
    for name, gain in gains[0.0].items():
        if abs(gain) < BITS:
            continue
        less, more = gains[-NEAR][name], gains[NEAR][name]
        told = f"the {name}'s push for a reward: {less:.4g}, {gain:.4g}, {more:.4g}"
        expect(less < 0.995 * gain and more > 1.005 * gain, f"log-ratios {-NEAR}, 0, {NEAR}: {told}")


@rl_objective.check("Take the smaller of ratio times advantage and clipped ratio times advantage.")
def clipping_is_on_both_sides(subject: Subject, case: Rolled) -> None:
    """Ratios far their way are let go on both sides or on neither; those far the wrong way, pushed back."""
    rollout = _as_it_was(case)
    moved = {by: _from_reference(_since(rollout, by), by) for by in (-FAR, 0.0, FAR)}
    up, down = ({by: _gains(subject, moved[by], reward) for by in moved} for reward in (5.0, -5.0))
    for name, gain in up[0.0].items():
        least = 0.02 * abs(gain)
        if least < BITS:
            continue
        back, again = up[-FAR][name], -down[FAR][name]
        expect(back > least, f"log-ratio {-FAR}, reward 5: the {name}'s push is {back:.3g}, not up")
        expect(again > least, f"log-ratio {FAR}, reward -5: the {name}'s push is {-again:.3g}, not down")
        high, low = up[FAR][name], -down[-FAR][name]
        expect(high > -least, f"log-ratio {FAR}, reward 5: the {name}'s push is {high:.3g}: down")
        expect(low > -least, f"log-ratio {-FAR}, reward -5: the {name}'s push is {-low:.3g}: up")
        sides = f"the {name}'s push is {high:.3g} at log-ratio {FAR}, {-low:.3g} at {-FAR}"
        expect((high < least) == (low < least), f"clipped on one side alone: {sides}")


def _as_it_was(case: Rolled) -> Rollout:
    """A rollout of its own policy, which is the reference; two depths or more; all candidates are there."""
    valid = [[True] * len(row) for row in case.valid]
    whole = replace(case, spread=0.0, valid=valid, support=(*case.support[:1], 9, *case.support[1:]))
    return replace(whole.rollout, world_reward=torch.tensor(0.0))


def _earning(rollout: Rollout, reward: float, others: float = 1.0) -> Rollout:
    """Prompt 0's first candidate earns so much, the rest of its group 0 on the whole."""
    rewards = rollout.rewards.clone()
    rewards[0] = 0.0
    rewards[0, :3] = torch.tensor([reward, others, -others])
    return replace(rollout, rewards=rewards)


def _since(rollout: Rollout, by: float) -> Rollout:
    """The candidate, and its depth, have a log-probability by so much larger than in the old policy."""
    old = rollout.logp.clone()
    old[0, 0] -= by / old.shape[-1]
    chosen = torch.nn.functional.one_hot(rollout.depth_index, rollout.depth_logp.shape[1]).bool()
    now, before = (
        _distribution(chosen, 0.6 * torch.tensor(part).exp()) for part in (min(by, 0), -max(by, 0))
    )
    return replace(rollout, old_logp=old, depth_logp=now, old_depth_logp=before)


def _distribution(chosen: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of depths, the chosen one's being of this share."""
    rest = (1 - share) / (chosen.shape[1] - 1)
    return torch.where(chosen, share, rest).log()


def _from_reference(rollout: Rollout, by: float) -> Rollout:
    """The candidate has a log-probability by so much larger than in the reference."""
    reference = rollout.ref_logp.clone()
    reference[0, 0] = rollout.logp[0, 0] - by / reference.shape[-1]
    return replace(rollout, ref_logp=reference)


def _pushes(subject: Subject, rollout: Rollout) -> tuple[float, Pushes]:
    """The loss, and what its gradient pushes."""
    made, leaves = leaves_of(rollout)
    loss = subject.component.loss(made)[0]
    found, chosen = gradients(loss, leaves), int(made.depth_index[0])
    pushes = {
        "candidate": -float(found["logp"][0, 0].sum()),
        "depth": -float(found["depth_logp"][0, chosen]),
    }
    return float(loss.detach()), pushes


def _gains(subject: Subject, rollout: Rollout, reward: float) -> Pushes:
    """Return what a reward pushes, over what is pushed where the candidate earned its group's mean."""
    told, even = (_pushes(subject, _earning(rollout, each))[1] for each in (reward, 0.0))
    return {name: push - even[name] for name, push in told.items()}
