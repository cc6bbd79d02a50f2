"""Laws for every depth policy (paper section 2.2)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import torch
from torch import nn

from lasar_kit.core.interfaces import DepthPolicy
from lasar_kit.core.values import Prompt
from lasar_kit.spec import DepthPolicyConfig
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.strategies import STATES, States


def _given(case: States) -> Prompt:
    return case.prompt


def _act(component: DepthPolicy, inputs: Prompt) -> dict[str, Any]:
    return {"logits": component.logits(inputs), "support": component.support}


FLOATS = (torch.float32, torch.float64)
depth_policy = Contract(
    "depth_policy",
    DepthPolicy,
    STATES,
    _given,
    _act,
    types={"logits": FLOATS},
    learns=True,
    trains=True,
    forgets=True,
)


@depth_policy.check("Give a tuple of ints such as (1, 2, 4), the least first.", examples=1)
def support_is_ascending(subject: Subject, case: States) -> None:
    """The support is a tuple of whole numbers, 0 or more, each larger than the one before."""
    support = subject.component.support
    expect(isinstance(support, tuple) and support, f"the support is {support!r}")
    expect(all(type(depth) is int and depth >= 0 for depth in support), f"the support is {support!r}")
    expect(all(a < b for a, b in pairwise(support)), f"the support is {support!r}")


@depth_policy.check("Take the component's support from its config.", examples=1)
def support_is_that_of_the_options(subject: Subject, case: States) -> None:
    """The support is the one that the config tells, if it does: specs are checked by that one."""
    config, support = subject.config, subject.component.support
    told = config.support if isinstance(config, DepthPolicyConfig) else None
    expect(told is None or told == support, f"the support is {support!r}, but the config's is {told!r}")


@depth_policy.check("Return one logit a depth of the support; bound what is exponentiated.")
def logits_are_finite(subject: Subject, case: States) -> None:
    """There is one finite logit for each depth of the support, for states of any size."""
    logits = subject.component.logits(case.prompt)
    shape = [*case.prompt.tip.shape, len(subject.component.support)]
    expect(list(logits.shape) == shape, f"logits of shape {list(logits.shape)}, not [B, R, C] = {shape}")
    expect(logits.isfinite().all(), f"a logit is {logits[~logits.isfinite()].flatten()[:1].tolist()}")


@depth_policy.check("Read each state by itself; normalise over no batch.")
def a_prompt_alone_is_the_prompt_in_any_batch(subject: Subject, case: States) -> None:
    """A prompt has the logits in a batch, and beside other branches, that it has alone."""
    logits = subject.component.logits(case.prompt)
    for b, r in product(range(case.rows), range(case.branches)):
        alone = subject.component.logits(_only(case.only(b), r))
        expect_close(logits[b, r], alone[0, 0], f"branch [{b}, {r}] among others, not alone:")


@depth_policy.check("Cast h0 to the type of the weights.")
def reads_bfloat16_states(subject: Subject, case: States) -> None:
    """States in bfloat16 give nearly the logits of the same numbers in float32."""
    narrow = _cast(case.prompt, torch.bfloat16)
    logits, wide = (subject.component.logits(one) for one in (narrow, _cast(narrow, torch.float32)))
    expect_close(logits, wide, "of the same states in bfloat16:", 0.02)


@depth_policy.check("Use every parameter in logits, and cut no gradient on the way.")
def every_weight_is_trained(subject: Subject, case: States) -> None:
    """A gradient reaches every parameter: one without stops distributed training."""
    policy: Any = subject.fresh()
    named = dict(policy.named_parameters()) if isinstance(policy, nn.Module) else {}
    if not named:
        return
    policy.logits(case.prompt).float().log_softmax(-1)[..., 0].sum().backward()
    bare = [name for name, weight in named.items() if weight.requires_grad and weight.grad is None]
    expect(not bare, f"no gradient reaches {', '.join(bare)}")


def _cast(prompt: Prompt, dtype: torch.dtype) -> Prompt:
    return replace(prompt, h0=prompt.h0.to(dtype), states=prompt.states.to(dtype))


def _only(prompt: Prompt, r: int) -> Prompt:
    """One branch of a row."""
    parts = {name: getattr(prompt, name)[:, r : r + 1] for name in ("h0", "tip", "ends", "items")}
    return replace(prompt, **parts)
