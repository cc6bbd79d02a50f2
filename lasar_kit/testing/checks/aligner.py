"""Laws for every aligner (paper Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Bool, Float
from torch import Tensor

from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.values import Anchors, Context, Env, LatentTrace
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.describe import shown
from lasar_kit.testing.strategies import Alignment, alignments

Inputs = tuple[LatentTrace, Anchors]


def _given(case: Alignment) -> Inputs:
    return case.trace, case.anchors


def _act(component: Aligner, inputs: Inputs) -> dict[str, Any]:
    return {"loss": component.loss(*inputs)}


aligner = Contract(
    "aligner",
    Aligner,
    alignments(),
    _given,
    _act,
    types={"loss": (torch.float32,)},
    trains=True,
    forgets=True,
)


def _loss(subject: Subject, trace: LatentTrace, anchors: Anchors) -> Float[Tensor, "B R"]:
    loss: Tensor = subject.component.loss(trace, anchors)
    shape = list(trace.mask.shape[:2])
    expect(
        list(loss.shape) == shape, f"the loss has shape {list(loss.shape)}, not one number a branch {shape}"
    )
    return loss


@aligner.check("Sum squares, absolute values or divergences: a distance is 0 or more.")
def loss_is_never_negative(subject: Subject, case: Alignment) -> None:
    """The loss is a finite number, 0 or more, for each branch."""
    loss = _loss(subject, *_given(case))
    expect(loss.isfinite().all(), f"the loss is {shown(loss)}")
    expect((loss >= 0).all(), f"the loss is {shown(loss.detach().min())}")


@aligner.check("Compare thought t with segment t, the last with the last, in the same way on both sides.")
def zero_on_identity(subject: Subject, case: Alignment) -> None:
    """Thoughts that are their own anchors have nothing left to learn: the loss is 0."""
    trace = case.trace
    loss = _loss(subject, trace, Anchors(trace.states.clone(), trace.mask.clone()))
    expect_close(loss, torch.zeros_like(loss), "the loss is", 1e-5)


@aligner.check("Divide by the number of pairs, at least 1, and leave other branches out.")
def zero_without_thoughts_or_anchors(subject: Subject, case: Alignment) -> None:
    """A branch without a thought or without an anchor has the loss 0."""
    trace, anchors = _given(case)
    loss = _loss(subject, trace, anchors)
    nothing = ~(trace.mask.any(-1) & anchors.mask.any(-1))
    expect(not loss[nothing].any(), f"a branch with nothing to compare has the loss {_first(loss[nothing])}")


@aligner.check("Select by both masks before you compute; a product with 0 keeps NaN, in gradients too.")
def masked_places_are_ignored(subject: Subject, case: Alignment) -> None:
    """Masked places, NaN included, change neither the loss nor the gradient."""
    trace, anchors = _given(case)
    results = []
    for filler in (0.0, torch.nan):
        states = trace.states.masked_fill(~trace.mask[..., None], filler).requires_grad_()
        targets = anchors.states.masked_fill(~anchors.mask[..., None], filler)
        loss = _loss(subject, replace(trace, states=states), Anchors(targets, anchors.mask))
        results.append((loss, _gradient(loss, states)))
    for name, clean, filled in zip(("loss", "gradient"), *results, strict=True):
        expect_close(filled, clean, f"NaN at masked places: {name}")


@aligner.check("Divide by the number of true places of the mask, not by the length of the tensor.")
def padding_changes_nothing(subject: Subject, case: Alignment) -> None:
    """More masked places behind the thoughts or the segments leave the loss as it is."""
    loss = _loss(subject, *_given(replace(case, pads=(0, 0))))
    for pads in ((2, 0), (0, 2)):
        padded = _loss(subject, *_given(replace(case, pads=pads)))
        expect_close(padded, loss, f"{pads} masked places more: the loss is")


@aligner.check("Compute each branch by itself; average over rows nowhere.")
def branches_are_judged_alone(subject: Subject, case: Alignment) -> None:
    """A branch has the loss in a batch that it has alone, in whatever order."""
    trace, anchors = _given(case)
    loss = _loss(subject, trace, anchors)
    for b, r in torch.cartesian_prod(*map(torch.arange, loss.shape)).tolist():
        alone = _loss(
            subject, _only(trace, b, r), Anchors(*(x[b : b + 1, r : r + 1] for x in _pair(anchors)))
        )
        expect_close(loss[b, r], alone[0, 0], f"branch [{b}, {r}] among others, not alone:")


@aligner.check("Give 0 wherever counted says no: a mean over the others would hold it nevertheless.")
def what_is_not_counted_has_no_loss(subject: Subject, case: Alignment) -> None:
    """A branch that `counted`, where there is one, leaves out of the mean has the loss 0."""
    counted = getattr(subject.component, "counted", None)
    if counted is None:
        return
    trace, anchors = _given(case)
    loss, taken = _loss(subject, trace, anchors), counted(trace.mask.sum(-1), anchors.mask.sum(-1))
    told = f"counted gives {taken.dtype} of shape {list(taken.shape)}"
    expect(taken.dtype == torch.bool and taken.shape == loss.shape, told)
    expect(not loss[~taken].any(), f"a branch that is not counted has the loss {_first(loss[~taken])}")


@aligner.check("Detach the anchors, and nothing else.")
def gradient_reaches_thoughts_alone(subject: Subject, case: Alignment) -> None:
    """Where there is a loss its gradient reaches the branch's own thoughts, and never the anchors."""
    trace, anchors = _given(case)
    states, targets = trace.states.requires_grad_(), anchors.states.requires_grad_()
    loss = _loss(subject, replace(trace, states=states), replace(anchors, states=targets))
    expect(not _gradient(loss, targets).any(), "a gradient reaches the anchors")
    gradient = _gradient(loss, states)
    expect(gradient.isfinite().all(), "the gradient is not finite")
    felt, there = gradient.flatten(2).any(-1), loss.detach() > 1e-4
    expect((felt | ~there).all(), f"a loss of {_first(loss[there & ~felt])} gives its thoughts no gradient")
    expect(not gradient[~trace.mask].any(), "a gradient reaches masked thoughts")


def _plain(case: Alignment) -> Alignment:
    return replace(case, scale=1.0)


def _full(case: Alignment) -> Alignment:
    """Four thoughts with four segments in the first branch, and no masked place behind them."""
    depth, segments = ([[4, *rows[0][1:]], *rows[1:]] for rows in (case.depth, case.segments))
    return replace(_plain(case), depth=depth, segments=segments, pads=(0, 0))


@aligner.check(
    "Sum over all places that both masks mark, the first and the last among them; select none of them.",
    cases=st.builds(_plain, alignments()) | st.builds(_full, alignments()),
)
def every_pair_is_felt(subject: Subject, case: Alignment) -> None:
    """Where a branch has a loss, each thought with a segment of its number gets a gradient."""
    trace, anchors = _given(case)
    states = trace.states.requires_grad_()
    loss = _loss(subject, replace(trace, states=states), anchors)
    felt = _gradient(loss, states).any(-1)
    count = min(felt.shape[-1], anchors.mask.shape[-1])
    pair = trace.mask[..., :count] & anchors.mask[..., :count] & (loss.detach() > 1e-4)[..., None]
    for b, r, t in (pair & ~felt[..., :count]).nonzero().tolist():
        expect(False, f"thought {t + 1} of branch [{b}, {r}] has a segment, and no gradient")


def _narrow(case: Alignment) -> Alignment:
    return replace(case, dtype=torch.bfloat16, width=256, scale=2.0)


@aligner.check(
    "Cast states and anchors to float32 first: .float() on both.", cases=st.builds(_narrow, alignments())
)
def loss_is_computed_in_float32(subject: Subject, case: Alignment) -> None:
    """States in bfloat16 give the loss of the same numbers in float32."""
    around = {"hidden_size": case.width, "head": _doubled, "frozen_head": lambda: _doubled}
    subject = replace(subject, make=partial(_in, subject.make, around))
    trace, anchors = _given(case)
    loss = _loss(subject, trace, anchors)
    expect(loss.dtype == torch.float32, f"the loss of bfloat16 states is {loss.dtype}, not float32")
    wide = _loss(
        subject, replace(trace, states=trace.states.float()), replace(anchors, states=anchors.states.float())
    )
    expect_close(loss, wide, "of the same states in bfloat16:", 1e-5)


def _in(make: Callable[[Env], Any], around: dict[str, Any], env: Env) -> Any:
    """A component in other surroundings."""
    return make(replace(env, **around))


def _gradient(loss: Float[Tensor, "B R"], states: Tensor) -> Tensor:
    if not loss.requires_grad:
        return torch.zeros_like(states)
    gradient = torch.autograd.grad(loss.sum(), states, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(states) if gradient is None else gradient


def _only(trace: LatentTrace, b: int, r: int) -> LatentTrace:
    one = (slice(b, b + 1), slice(r, r + 1))
    return LatentTrace(trace.states[one], trace.mask[one], trace.last[one], trace.tip[one], Context())


def _pair(anchors: Anchors) -> tuple[Float[Tensor, "B R S D"], Bool[Tensor, "B R S"]]:
    return anchors.states, anchors.mask


def _first(values: Tensor) -> str:
    values = values.detach()
    values = values[values != 0] if values.any() else values
    return f"{float(values.flatten()[0]):.6g}" if values.numel() else "none"


def _doubled(hidden: Tensor) -> Tensor:
    """A head for states of any width."""
    return 2 * hidden.float()
