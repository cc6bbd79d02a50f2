"""Laws for every reward (paper E.5)."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter
from typing import Any

import torch

from lasar_kit.core.interfaces import Reward
from lasar_kit.core.lesson import mapped
from lasar_kit.core.values import Judged
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.strategies import Group, groups


def _given(case: Group) -> Judged:
    rows = len(case.target)
    history = torch.tensor([[3, 1, -1], [0, -1, -1], [2, 4, 4]])[:rows]
    return Judged(torch.tensor(case.candidates), torch.tensor(case.target), history)


def _act(component: Reward, inputs: Judged) -> dict[str, Any]:
    return {"reward": component.reward(inputs)}


reward = Contract("reward", Reward, groups(), _given, _act, types={"reward": (torch.float32,)}, forgets=True)


@reward.check("Return one number a candidate; divide by nothing that may be 0.")
def rewards_are_finite(subject: Subject, case: Group) -> None:
    """There is one finite reward for each candidate."""
    judged = _given(case)
    rewards = subject.component.reward(judged)
    shape = list(judged.candidates.shape)
    expect(list(rewards.shape) == shape, f"rewards of shape {list(rewards.shape)}, not [B, G] = {shape}")
    expect(rewards.isfinite().all(), f"a reward is {rewards[~rewards.isfinite()][:1].tolist()}")


@reward.check("Multiply by (candidates >= 0).")
def missing_candidates_get_nothing(subject: Subject, case: Group) -> None:
    """The reward of -1, which is no item, is 0."""
    judged = _given(case)
    none = subject.component.reward(judged)[judged.candidates < 0]
    expect(not none.any(), f"a missing candidate is given {none[none != 0][:1].tolist()}")


@reward.check("Give the target the largest reward of its group.")
def the_target_earns_most(subject: Subject, case: Group) -> None:
    """In a group that holds the target, no other candidate earns more."""
    judged = _given(case)
    candidates, target = judged.candidates, judged.target
    place = torch.arange(len(target)) % candidates.shape[1]
    candidates[torch.arange(len(target)), place] = target
    rewards = subject.component.reward(judged)
    hit = candidates == target[:, None]
    for b, row in enumerate(rewards):
        own, others = row[hit[b]].min(), row[~hit[b] & (candidates[b] >= 0)]
        more = others[others > own + 1e-6]
        expect(not more.numel(), f"the target earns {float(own):.4g}, another candidate {more[:1].tolist()}")


@reward.check("Compare each candidate with the target of its own row; normalise over no batch.")
def prompts_are_judged_alone(subject: Subject, case: Group) -> None:
    """A prompt's candidates have the rewards in a batch that they have alone."""
    judged = _given(case)
    rewards = subject.component.reward(judged)
    for b in range(len(judged.target)):
        row = slice(b, b + 1)
        alone = subject.component.reward(mapped(judged, itemgetter(row)))
        expect_close(rewards[b], alone[0], f"prompt {b} among others, not alone:")


@reward.check("Read in `written` one text that all candidates share, or text g for candidate g.")
def a_text_is_its_own_candidates(subject: Subject, case: Group) -> None:
    """A candidate with a text of its own earns what it does in a group that shares that text."""
    judged = _given(case)
    rows, group = judged.candidates.shape
    # Of words, of the unknown token that a tiny tokenizer takes an end for, and of nothing.
    written = torch.tensor([-1, 0, 3, 4, 5, 0])[torch.arange(rows * group * 3).view(rows, group, 3) * 5 % 6]
    written = written.masked_fill((written < 0).cumsum(-1) > 0, -1)
    own = subject.component.reward(replace(judged, written=written))
    for g in range(group):
        shared = subject.component.reward(replace(judged, written=written[:, g : g + 1]))
        expect_close(own[:, g], shared[:, g], f"candidate {g} with a text of its own, not of its group:")
