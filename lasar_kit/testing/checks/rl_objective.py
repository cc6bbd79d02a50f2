"""Laws for every RL objective (paper Eqs. 5 and 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.capabilities import SparesReference
from lasar_kit.core.interfaces import RLObjective
from lasar_kit.core.values import Rollout
from lasar_kit.testing.compare import difference, furthest, snapshot
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.describe import shown
from lasar_kit.testing.strategies import Rolled, rollouts

TOKENS = ("logp", "old_logp", "ref_logp", "ref_kl")
LEARNING = ("logp", "depth_logp", "ref_kl", "written_logp")
FIXED = (
    *("old_logp", "ref_logp", "rewards", "world_reward", "old_depth_logp"),
    *("old_written_logp", "ref_written_logp"),
)
DEPTHS = ("depth", "depth_logp", "depth_index", "old_depth_logp")
LOGP_OF_WORDS = ("written_logp", "old_written_logp", "ref_written_logp")
WORDS = ("written", *LOGP_OF_WORDS)
ROWS = (*TOKENS, *DEPTHS, *WORDS, "rewards", "valid")


def _pure(case: Rolled) -> Rolled:
    """The same with the policy as it was."""
    return replace(case, spread=0.0)


def _given(case: Rolled) -> Rollout:
    return case.rollout


def _observe(component: RLObjective, inputs: Rollout) -> None:
    component.observe(replace(inputs, world_reward=inputs.world_reward + 1))


def _act(component: RLObjective, inputs: Rollout) -> dict[str, Any]:
    loss, report = component.loss(inputs)
    component.observe(inputs)
    return {"loss": loss, "report": report, "next": component.loss(inputs)[0]}


TYPES = {"loss": (torch.float32,)}
rl_objective = Contract(
    "rl_objective",
    RLObjective,
    rollouts(),
    _given,
    _act,
    settle=_observe,
    types=TYPES,
    learns=True,
    trains=True,
)


def _loss(subject: Subject, rollout: Rollout) -> Float[Tensor, ""]:
    loss: Tensor = subject.component.loss(rollout)[0]
    return loss


@rl_objective.check("Return a scalar tensor, and a dict of floats: float(value.detach()).")
def loss_is_a_finite_number(subject: Subject, case: Rolled) -> None:
    """The loss is one finite number, the report a table of plain floats."""
    loss, report = subject.component.loss(case.rollout)
    expect(loss.shape == (), f"the loss has shape {list(loss.shape)}")
    expect(loss.isfinite(), f"the loss is {shown(loss)}")
    wrong = {name: value for name, value in report.items() if type(value) is not float}
    expect(not wrong, f"the report holds {wrong}")


@rl_objective.check("Move averages and counters in observe, which is called once the update is done.")
def loss_changes_no_state(subject: Subject, case: Rolled) -> None:
    """`loss` twice on one rollout gives the same, and leaves the state as it was."""
    component = subject.fresh()
    before = _state(component)
    first, second = (snapshot(component.loss(case.rollout)) for _ in range(2))
    expect(not (where := difference(first, second)), f"the second time, (loss, report): {where}")
    expect(not (where := difference(before, _state(component))), f"the state changed: {where}")


@rl_objective.check(
    "Replace what is not valid before you compute; a product with 0 keeps NaN, in gradients too."
)
def missing_candidates_are_ignored(subject: Subject, case: Rolled) -> None:
    """A candidate that is not valid changes neither the loss nor a gradient, whatever stands in its place."""
    rollout, results = case.rollout, []
    for filler, reward in ((-1.0, 0.0), (torch.nan, 1e3)):
        names = (*TOKENS, *LOGP_OF_WORDS) if case.own else TOKENS
        tokens = {
            name: getattr(rollout, name).masked_fill(~rollout.valid[..., None], filler) for name in names
        }
        rewards = rollout.rewards.masked_fill(~rollout.valid, reward)
        made, leaves = leaves_of(replace(rollout, **tokens, rewards=rewards))
        loss = _loss(subject, made)
        results.append({"loss": loss.detach(), **gradients(loss, leaves)})
    for name, clean in results[0].items():
        filled = results[1][name]
        expect_close(filled, clean, f"NaN in place of missing candidates: {name}")


@rl_objective.check("Average over prompts and candidates, none of which has a place of its own.")
def order_does_not_matter(subject: Subject, case: Rolled) -> None:
    """Prompts and candidates in another order, texts of their own with them, give the same loss."""
    rollout = case.rollout
    with_them = WORDS if case.own else ()
    turned = replace(rollout, **{name: getattr(rollout, name).flip(0) for name in ROWS})
    shuffled = replace(
        rollout,
        **{name: getattr(rollout, name).flip(1) for name in (*TOKENS, *with_them, "rewards", "valid")},
    )
    loss = _loss(subject, rollout)
    for what, other in (("prompts", turned), ("candidates", shuffled)):
        found = _loss(subject, other)
        expect_close(found, loss, f"{what} in reverse order: the loss is")


@rl_objective.check("Average over prompts; say by counted(rewards, valid) how many, where some are left out.")
def shares_make_up_the_batch(subject: Subject, case: Rolled) -> None:
    """A batch's loss is the mean of its shares' losses, each weighted by the prompts that it counts."""
    rollout = case.rollout
    if len(rollout.depth) < 2:
        return
    shares = [
        replace(rollout, **{name: getattr(rollout, name)[rows] for name in ROWS})
        for rows in (slice(1), slice(1, None), slice(None))
    ]
    first, rest, whole = (_loss(subject, share) * _counted(subject, share) for share in shares)
    expect_close(first + rest, whole, "the losses of two shares, times what each counts, add up to")


@rl_objective.check("Detach rewards, the old policy and the reference.")
def gradient_reaches_the_policy_alone(subject: Subject, case: Rolled) -> None:
    """The gradient is finite, and reaches nothing that the rollout fixed."""
    made, leaves = leaves_of(case.rollout)
    found = gradients(_loss(subject, made), leaves)
    for name in FIXED:
        expect(not found[name].any(), f"a gradient reaches {name}")
    for name in LEARNING:
        expect(found[name].isfinite().all(), f"the gradient at {name} is not finite")


@rl_objective.check("Minimise minus the gain: mind the sign.")
def what_earns_more_grows_likelier(subject: Subject, case: Rolled) -> None:
    """One that was the worst of its group and now is the best is pushed up, or its depth or text is."""
    case = replace(case, spread=0.0, valid=[[True] * len(row) for row in case.valid])
    pushes = []
    for reward in (-5.0, 5.0):
        rewards = case.rollout.rewards.clone()
        rewards[0, 0] = reward
        made, leaves = leaves_of(replace(case.rollout, rewards=rewards))
        found = gradients(_loss(subject, made), leaves)
        chosen = int(made.depth_index[0])
        pushes.append(
            {
                "its own": -float(found["logp"][0, 0].sum()),
                "its depth's": -float(found["depth_logp"][0, chosen]),
                "its text's": -float(found["written_logp"][0, 0].sum()),
            }
        )
    before, now = pushes
    gains = [now[name] - before[name] for name in now]
    told = "; ".join(f"{name} push is {before[name]:.4g}, then {now[name]:.4g}" for name in now)
    expect(min(gains) > -1e-6 and max(gains) > 1e-6, f"reward -5, then 5: {told}")


@rl_objective.check(
    "Take a depth's price from `depth`, and its place in the support from `depth_index`.",
    cases=st.builds(_pure, rollouts()),
)
def a_depth_never_chosen_changes_nothing(subject: Subject, case: Rolled) -> None:
    """A further depth in the support, of no probability, leaves the gradient as it is."""
    rollout = case.rollout
    assert rollout.old_depth_logp is not None
    front = torch.full_like(rollout.depth_logp[:, :1], -60.0)
    wider = replace(
        rollout,
        depth_logp=torch.cat([front, rollout.depth_logp], dim=1),
        old_depth_logp=torch.cat([front, rollout.old_depth_logp], dim=1),
        depth_index=rollout.depth_index + 1,
    )
    plain, more = (
        gradients(_loss(subject, made), leaves) for made, leaves in map(leaves_of, (rollout, wider))
    )
    for name in ("logp", "ref_kl", "depth_logp"):
        found = more[name][:, 1:] if name == "depth_logp" else more[name]
        expect_close(found, plain[name], f"one depth more to choose from: the gradient at {name} is")


@rl_objective.check("Cast log-probabilities to float32 first: .float().")
def loss_is_computed_in_float32(subject: Subject, case: Rolled) -> None:
    """Log-probabilities in bfloat16 give the loss of the same numbers in float32."""
    names = (*TOKENS, "depth_logp", *LOGP_OF_WORDS)
    narrow = replace(case.rollout, **{name: getattr(case.rollout, name).bfloat16() for name in names})
    wide = replace(narrow, **{name: getattr(narrow, name).float() for name in names})
    loss, expected = _loss(subject, narrow), _loss(subject, wide)
    expect(loss.dtype == torch.float32, f"the loss of bfloat16 log-probabilities is {loss.dtype}")
    expect_close(loss, expected, "of the same numbers in bfloat16:", 1e-5)


@rl_objective.check("Set exact_kl = True if you read ref_kl; else read ref_logp.")
def exact_kl_is_declared(subject: Subject, case: Rolled) -> None:
    """An objective that does not declare `exact_kl` never reads `ref_kl`, which is then not computed."""
    if not subject.component.exact_kl:
        with_kl, without = _loss(subject, case.rollout), _loss(subject, replace(case.rollout, ref_kl=None))
        expect(torch.equal(with_kl, without), f"without ref_kl the loss is {furthest(without, with_kl)}")


@rl_objective.check("Leave reads_answers out, or True, if you read logp, old_logp, ref_logp or ref_kl.")
def reads_answers_is_declared(subject: Subject, case: Rolled) -> None:
    """An objective that declares `reads_answers = False` reads no token's log-probability: all are NaN."""
    if getattr(subject.component, "reads_answers", True):
        return
    nothing = torch.full_like(case.rollout.logp, torch.nan)
    blank = replace(case.rollout, logp=nothing, old_logp=nothing, ref_logp=nothing, ref_kl=None)
    told, untold = (snapshot(_act(subject.fresh(), rollout)) for rollout in (case.rollout, blank))
    expect(not (where := difference(told, untold)), f"without log-probabilities, {where}")


@rl_objective.check("Set reads_reference = True if you read ref_logp, ref_written_logp or ref_kl.")
def reads_reference_is_declared(subject: Subject, case: Rolled) -> None:
    """An objective that declares `reads_reference = False` reads nothing of the reference: all is NaN."""
    if not isinstance(subject.component, SparesReference) or subject.component.reads_reference:
        return
    read = {name: getattr(case.rollout, name) for name in ("ref_logp", "ref_written_logp")}
    nothing = {name: torch.full_like(logp, torch.nan) for name, logp in read.items() if logp is not None}
    blank = replace(case.rollout, ref_kl=None, **nothing)
    told, untold = (snapshot(_act(subject.fresh(), rollout)) for rollout in (case.rollout, blank))
    expect(not (where := difference(told, untold)), f"without a reference, {where}")


@rl_objective.check("Detach what observe keeps: @torch.no_grad() on it.")
def observing_keeps_no_graph(subject: Subject, case: Rolled) -> None:
    """State that `observe` moves carries no gradient, which would keep every past rollout alive."""
    component = subject.fresh()
    component.observe(leaves_of(case.rollout)[0])
    state = component.state_dict(keep_vars=True) if hasattr(component, "state_dict") else vars(component)
    held = [name for name, value in state.items() if isinstance(value, Tensor) and value.grad_fn is not None]
    expect(not held, f"a graph hangs on {', '.join(held)}")


@rl_objective.check(
    "Move state by `world_reward` and what else all processes share, not by one's own rollout."
)
def ranks_stay_alike(subject: Subject, case: Rolled) -> None:
    """Two processes with rollouts of their own, and one mean reward of them all, keep one state."""
    states = []
    for seed in (case.seed, case.seed + 1):
        component = subject.fresh()
        component.observe(replace(case, seed=seed).rollout)
        states.append(_state(component))
    where = difference(*states)
    expect(not where, f"after rollouts of one world_reward, the state: {where}")


def _counted(subject: Subject, rollout: Rollout) -> int:
    counted = getattr(subject.component, "counted", None)
    return len(rollout.depth) if counted is None else counted(rollout.rewards, rollout.valid)


def _state(component: Any) -> Any:
    state = component.state_dict() if hasattr(component, "state_dict") else vars(component)
    return snapshot(dict(state))


def leaves_of(rollout: Rollout) -> tuple[Rollout, dict[str, Tensor]]:
    """The rollout with a gradient wanted at each of its numbers."""
    leaves = {name: getattr(rollout, name).clone().requires_grad_() for name in (*LEARNING, *FIXED)}
    return replace(rollout, **leaves), leaves


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    made: list[Tensor | None] = [None] * len(leaves)
    if loss.requires_grad:
        made = list(torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, retain_graph=True))
    pairs = zip(leaves.items(), made, strict=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient for (name, leaf), gradient in pairs
    }
