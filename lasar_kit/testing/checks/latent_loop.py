"""Laws for every latent loop (paper section 2.2, Eq. 3, and appendix E.1)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from lasar_kit.core.capabilities import Halts
from lasar_kit.core.interfaces import LatentLoop
from lasar_kit.testing import tiny
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.strategies import SEEDS, Thinking, thinkings
from lasar_kit.testing.thinking import Outcome, Tampered, answered, read_prompts, think

FLOAT = (torch.float32,)
FELT = 1e-5
"""A change of this much cannot be rounding."""


def _given(case: Thinking) -> dict[str, Any]:
    backbone = tiny.backbone()
    return {"case": case, "backbone": backbone, "read": read_prompts(backbone, case)}


def _act(component: LatentLoop, inputs: dict[str, Any]) -> dict[str, Any]:
    case, backbone, read = inputs["case"], inputs["backbone"], inputs["read"]
    trace = component.run(backbone, read.prompt, torch.tensor(case.depth), case.steps)
    own = trace.states[trace.mask] if trace.mask.numel() else trace.last[:0]
    outcome = answered(backbone, trace, case, read)
    parts = {"thoughts": own, "mask": trace.mask, "last": trace.last, "tip": trace.tip}
    return parts | {"predictions": outcome.predictions}


TYPES = {"thoughts": FLOAT, "mask": (torch.bool,), "last": FLOAT, "tip": (torch.int64,)}
latent_loop = Contract(
    "latent_loop", LatentLoop, thinkings(), _given, _act, types=TYPES, learns=True, trains=True, forgets=True
)


def _run(subject: Subject, case: Thinking) -> Outcome:
    return think(tiny.backbone(), subject.component, case)


@latent_loop.check(
    "Return states [B, R, T, D], mask [B, R, T], last [B, R, D], and a tip that the context holds."
)
def trace_has_its_shapes(subject: Subject, case: Thinking) -> None:
    """A trace's tensors fit each other, and its tips are nodes of its context."""
    read = read_prompts(tiny.backbone(), case)
    trace = subject.component.run(tiny.backbone(), read.prompt, torch.tensor(case.depth), case.steps)
    rows, branches = len(case.depth), len(case.depth[0])
    thoughts = trace.mask.shape[-1]
    wanted = {
        "states": [rows, branches, thoughts, tiny.WIDTH],
        "mask": [rows, branches, thoughts],
        "last": [rows, branches, tiny.WIDTH],
        "tip": [rows, branches],
    }
    for name, shape in wanted.items():
        own = list(getattr(trace, name).shape)
        expect(own == shape, f"{name} has shape {own}, not {shape}")
    inside = (trace.tip >= 0) & (trace.tip < trace.context.length)
    expect(inside.all(), f"tip {trace.tip.flatten().tolist()} of a context of {trace.context.length} nodes")


@latent_loop.check("mask = arange(steps) < depth[..., None]: N thoughts, not N - 1 and not N + 1.")
def mask_counts_the_depth(subject: Subject, case: Thinking) -> None:
    """A branch of depth N has exactly its first N thoughts marked as its own; a transparent loop has none."""
    trace = _run(subject, case).trace
    halts = isinstance(subject.component, Halts) and trace.depth is not None
    mask, depth = trace.mask, trace.depth if halts else torch.tensor(case.depth)
    assert depth is not None
    if subject.component.transparent:
        expect(not mask.any(), "a transparent loop has thoughts")
        return
    count = mask.sum(-1)
    wrong = (count != depth).nonzero()
    for b, r in wrong.tolist():
        expect(False, f"a branch of depth {depth[b, r]} has {count[b, r]} thoughts of its own")
    expect((mask.int().diff(dim=-1) <= 0).all(), "the thoughts of a branch are not its first ones")


@latent_loop.check(
    "Hang each token on its own branch's node: past.length of that step + branch; pads are nobody's parent."
)
def a_branch_alone_is_the_branch_in_any_batch(subject: Subject, case: Thinking) -> None:
    """A branch has the thoughts and predictions in a padded batch that it has alone."""
    together = _run(subject, case)
    for b, r in product(range(len(case.depth)), range(len(case.depth[0]))):
        alone = _run(subject, case.only(b, r))
        pairs = {
            "thoughts": (together.thoughts(b, r), alone.thoughts(0, 0)),
            "predictions": (together.predictions[b, r], alone.predictions[0, 0]),
        }
        for name, (found, expected) in pairs.items():
            expect_close(found, expected, f"branch [{b}, {r}] among others, not alone: {name}")


@latent_loop.check("Take `last` and `tip` at each branch's own depth, not where the loop stopped.")
def surplus_steps_change_nothing(subject: Subject, case: Thinking) -> None:
    """More steps than any branch's depth leave thoughts and predictions as they are."""
    plain, surplus = (_run(subject, replace(case, surplus=count)) for count in (0, 2))
    expect_close(surplus.predictions, plain.predictions, "2 surplus steps: a prediction is")
    own = [outcome.trace.states[outcome.trace.mask] for outcome in (plain, surplus)]
    expect_close(own[1], own[0], "2 surplus steps: a thought is")


@latent_loop.check("Think once more for each depth; depth 0 is a depth of its own.")
def depth_is_felt(subject: Subject, case: Thinking) -> None:
    """The same prompt, thought about for 0, 1, 2 and 3 steps, gives four different predictions."""
    if subject.component.transparent:
        return
    # Several prompts, since for a single one the difference may happen to be small.
    prompts = [case.prompts[0], [3], [5, 7, 4]]
    tips = [[len(row) - 1] * 4 for row in prompts]
    same = Thinking(prompts, tips, [[0, 1, 2, 3]] * 3, [[case.answer[0][0]] * 4] * 3)
    first = think(tiny.backbone(), subject.component, same, told=True).predictions[:, :, 0]
    for one, other in ((0, 1), (1, 2), (2, 3)):
        gap = float((first[:, one] - first[:, other]).detach().abs().max())
        expect(gap > FELT, f"depths {one} and {other} predict the same")


@latent_loop.check("Let the answer follow thought N: index N if h_0 stands first in your list, N - 1 if not.")
def answer_hangs_on_its_own_thoughts(subject: Subject, case: Thinking) -> None:
    """A branch of depth N answers from its thought N: that one is felt, and none after it."""
    if subject.component.transparent:
        return
    watched = Tampered(tiny.backbone())
    plain = think(watched, subject.component, case, told=True)
    mask, depth = plain.trace.mask, torch.tensor(case.depth)
    for t in range(mask.shape[-1]):
        call = _call_of(watched.given, plain.trace.states[:, :, t], mask[:, :, t])
        if call is None:
            continue
        moved = think(Tampered(tiny.backbone(), call), subject.component, case, told=True)
        gap = (moved.predictions - plain.predictions).abs().flatten(2).amax(-1)
        read = (gap > FELT) & (depth <= t)
        expect(
            not read.any(),
            f"a branch of depth {_at(depth, read)} reads thought {t + 1}, which is not its own",
        )
        missed = (gap <= FELT) & (depth == t + 1)
        expect(
            not missed.any(),
            f"a branch of depth {_at(depth, missed)} does not read its last thought, {t + 1}",
        )


def _long(seed: int) -> Thinking:
    """Forty tokens beside two, up to twelve thoughts beside none."""
    prompt = [3 + (seed * place) % 11 for place in range(1, 41)]
    return Thinking([prompt, [5, 3]], [[39, 20], [1, 1]], [[12, 0], [9, 10]], [[4, 5], [6, 7]], pads=1)


@latent_loop.check(
    "Let no size that you saw bound the steps or the prompt.", cases=st.builds(_long, SEEDS), examples=2
)
def many_tokens_and_thoughts_are_as_few(subject: Subject, case: Thinking) -> None:
    """Prompts of forty tokens and twelve thoughts have their mask, and are in a batch as they are alone."""
    mask_counts_the_depth(subject, case)
    a_branch_alone_is_the_branch_in_any_batch(subject, case)
    surplus_steps_change_nothing(subject, case)
    answer_hangs_on_its_own_thoughts(subject, case)
    last_is_the_state_at_the_tip(subject, case)


@latent_loop.check("Keep what `advance` gave for thought t, untouched, and each thought's own.")
def thoughts_are_states_of_the_backbone(subject: Subject, case: Thinking) -> None:
    """Each thought is a state that the backbone gave, that of a later token than the thought before it."""
    watched = Tampered(tiny.backbone())
    trace = think(watched, subject.component, case).trace
    for b, r in product(range(len(case.depth)), range(len(case.depth[0]))):
        before = -1
        for t, state in enumerate(trace.states[b, r][trace.mask[b, r]].detach()):
            nodes = watched.nodes(b, state)
            expect(nodes, f"thought {t + 1} of branch [{b}, {r}] is no state that the backbone gave")
            expect(max(nodes) > before, f"thoughts {t} and {t + 1} of branch [{b}, {r}] are one and the same")
            before = min(node for node in nodes if node > before)


@latent_loop.check("Return as `tip` the node whose state `last` is.")
def last_is_the_state_at_the_tip(subject: Subject, case: Thinking) -> None:
    """`last` is the state that the backbone gave at node `tip`, behind which the answer is fed."""
    watched = Tampered(tiny.backbone())
    trace = think(watched, subject.component, case).trace
    for b, r in product(range(len(case.depth)), range(len(case.depth[0]))):
        nodes, tip = watched.nodes(b, trace.last[b, r].detach()), int(trace.tip[b, r])
        expect(tip in nodes, f"branch [{b}, {r}]: tip is {tip}, but last the state at {nodes or 'no node'}")


@latent_loop.check("Run the loop with gradients: no torch.no_grad, no .detach() of every path to the prompt.")
def gradient_reaches_the_prompt(subject: Subject, case: Thinking) -> None:
    """Thoughts and predictions pass their gradient to the prompt's last token, and to no pad."""
    outcome = _run(subject, case)
    _, real, tip = case.ids()
    for name, values in (
        ("predictions", outcome.predictions),
        ("thoughts", outcome.trace.states[outcome.trace.mask]),
    ):
        gradient = torch.zeros_like(outcome.inputs)
        if values.requires_grad and values.numel():
            gradients = torch.autograd.grad(
                values.sin().sum(), outcome.inputs, retain_graph=True, allow_unused=True
            )[0]
            gradient = gradient if gradients is None else gradients
        expect(not gradient[~real].any(), f"the gradient of {name} reaches a pad")
        felt = gradient.abs().amax(-1).gather(1, tip) > 0
        wanted = outcome.trace.mask.any(-1) if name == "thoughts" else torch.ones_like(felt)
        expect((felt | ~wanted).all(), f"the gradient of {name} does not reach the prompt's last token")


@latent_loop.check("Use every parameter in every thought, and cut no gradient on the way.")
def every_weight_is_trained(subject: Subject, case: Thinking) -> None:
    """With a thought or more, the gradient of predictions or of a chance to halt reaches every parameter
    that takes one."""
    loop = subject.component
    trained = loop.named_parameters() if isinstance(loop, nn.Module) else ()
    if not (named := {name: weight for name, weight in trained if weight.requires_grad}):
        return
    deeper = replace(case, depth=[[depth + 1 for depth in row] for row in case.depth])
    outcome = think(tiny.backbone(), subject.component, deeper, told=True)
    loss, chance = outcome.predictions.sin().sum(), outcome.trace.depth_logp
    loss = loss if chance is None else loss + chance.sum()
    gradients: list[Tensor | None] = [None] * len(named)
    if loss.requires_grad:
        gradients = list(torch.autograd.grad(loss, list(named.values()), allow_unused=True))
    bare = [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
    expect(not bare, f"no gradient reaches {', '.join(bare)}")


@latent_loop.check("Set transparent = False, or hand h0, tip and context on as they are.")
def transparent_adds_nothing(subject: Subject, case: Thinking) -> None:
    """A loop that calls itself transparent leaves the answer to follow the prompt directly."""
    if not subject.component.transparent:
        return
    read = read_prompts(tiny.backbone(), case)
    trace = subject.component.run(tiny.backbone(), read.prompt, torch.tensor(case.depth), case.steps)
    same = torch.equal(trace.last, read.prompt.h0) and torch.equal(trace.tip, read.prompt.tip)
    expect(same, "last and tip are not those of the prompt")
    added = trace.context.length - read.prompt.context.length
    expect(added == 0, f"{added} tokens stand between prompt and answer")


def _call_of(given: list[Tensor], state: Tensor, mask: Tensor) -> int | None:
    """The call of `advance` that gave these states; None where a loop keeps others."""
    for place, hidden in enumerate(given):
        if hidden.shape == state.shape and mask.any() and torch.equal(hidden[mask], state[mask]):
            return place
    return None


def _at(depth: Tensor, where: Tensor) -> str:
    return str(int(depth[where][0])) if where.any() else ""
