"""Laws for every SFT objective (paper section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from lasar_kit.core.capabilities import OwnSamples
from lasar_kit.core.interfaces import SftObjective
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.lessons import Teaching, TinyView, teachings, without_reasoning

NEEDS = {"anchors", "rationale", "depth"}


@dataclass(frozen=True)
class Inputs:
    """A lesson; the update whose own samples are drawn, if any."""

    lesson: Lesson
    update: int


def _given(case: Teaching) -> Inputs:
    return Inputs(case.lesson, case.seed)


def _rows(component: Any, update: int, some: slice = slice(None)) -> TaskRows | None:
    if not isinstance(component, OwnSamples):
        return None
    return component.collate(list(component.draw(update))[some])


def _found(component: Any, lesson: Lesson, rows: TaskRows | None) -> tuple[int, Tensor]:
    return component.count(lesson, rows), component.loss(TinyView(lesson, rows))


def _act(component: SftObjective, inputs: Inputs) -> dict[str, Any]:
    count, loss = _found(component, inputs.lesson, _rows(component, inputs.update))
    return {"count": count, "loss": loss}


sft_objective = Contract(
    "sft_objective",
    SftObjective,
    teachings(),
    _given,
    _act,
    types={"loss": (torch.float32, torch.float64)},
    learns=True,
)


@sft_objective.check("Name any of 'anchors', 'rationale' and 'depth', as a tuple.", examples=1)
def needs_are_known(subject: Subject, case: Teaching) -> None:
    """Its needs of a lesson are a tuple of names that lessons have."""
    needs = subject.component.needs
    expect(isinstance(needs, tuple), f"needs is {needs!r}, not a tuple")
    expect(set(needs) <= NEEDS, f"needs {sorted(set(needs) - NEEDS)}, which no lesson has")


@sft_objective.check("Sum over what counts; divide by nothing; return an int and a scalar.")
def count_and_loss_are_a_number_each(subject: Subject, case: Teaching) -> None:
    """The count is a whole number, 0 or more; the loss is one finite number."""
    count, loss = _found(subject.component, case.lesson, _rows(subject.component, case.seed))
    expect(isinstance(count, int) and count >= 0, f"the count is {count!r}")
    expect(loss.ndim == 0, f"the loss has shape {list(loss.shape)}")
    expect(loss.isfinite(), f"the loss is {float(loss.detach())}")


@sft_objective.check("Return the sum, not the mean, and compare no prompt with another of its batch.")
def parts_add_up_to_the_whole(subject: Subject, case: Teaching) -> None:
    """Counts and losses of a batch's parts are those of the batch, so that it may be split over passes."""
    component, lesson, rows = subject.component, case.lesson, len(case.mask)
    own = isinstance(component, OwnSamples)
    size = len(component.draw(case.seed)) if own else rows
    cut = max(1, size // 2)
    count, loss = _found(component, lesson, _rows(component, case.seed))
    counts, losses = 0, torch.zeros(())
    for some in (slice(0, cut), slice(cut, size)):
        which = list(range(rows))[some]
        part = lesson if own or not which else lesson.take(which)
        if not own and not which:
            continue
        one, other = _found(component, part, _rows(component, case.seed, some))
        counts, losses = counts + one, losses + other.detach()
    expect(counts == count, f"the parts count {counts} things, the whole {count}")
    expect_close(losses, loss.detach(), "the parts' losses, added up:")


@sft_objective.check("Multiply by lesson.prompts.mask (or lesson.labelled) before summing.")
def prompts_that_do_not_count_are_left_out(subject: Subject, case: Teaching) -> None:
    """A masked prompt changes neither count nor loss, whatever it is to learn."""
    lesson = case.lesson
    assert lesson.anchors is not None
    assert lesson.rationale is not None
    hidden = ~lesson.prompts.mask
    words = torch.where(lesson.rationale >= 0, 8 - lesson.rationale, -1)  # tokens 3 to 5, in another order
    states = torch.where(hidden[..., None, None], lesson.anchors.states + 1, lesson.anchors.states)
    other = replace(
        lesson,
        targets=torch.where(hidden[..., None], (lesson.targets + 1) % 8, lesson.targets),
        anchors=replace(lesson.anchors, states=states),
        rationale=torch.where(hidden[..., None], words, lesson.rationale),
    )
    rows = _rows(subject.component, case.seed)
    (count, loss), (counts, losses) = (_found(subject.component, each, rows) for each in (lesson, other))
    expect(count == counts, f"counts {counts} things instead of {count}")
    expect_close(losses.detach(), loss.detach(), "with other answers where nothing counts:")


@sft_objective.check("Index by the mask, so that an empty batch is an empty sum.")
def nothing_to_learn_is_no_loss(subject: Subject, case: Teaching) -> None:
    """Where nothing counts the count is 0 and the loss is 0; its gradient, if any, is 0 as well."""
    lesson = without_reasoning(case.lesson)
    rows = _rows(subject.component, case.seed, slice(0, 0))
    view = TinyView(lesson, rows)
    count, loss = subject.component.count(lesson, rows), subject.component.loss(view)
    expect(count == 0, f"counts {count} things where nothing is to be learnt")
    expect(float(loss.detach()) == 0, f"the loss is {float(loss.detach())} where nothing is to be learnt")
    if loss.requires_grad:
        grads = torch.autograd.grad(loss, view.weights, allow_unused=True)
        expect(all(g is None or not g.any() for g in grads), "a gradient comes from nothing")


def _unlike(case: Teaching) -> Teaching:
    """Rows that end unlike each other: of equal ones, told apart by a contrast, all gradients cancel."""
    return replace(case, prompts=[[*row, 3 + place] for place, row in enumerate(case.prompts)])


@sft_objective.check(
    "Compute the loss from view's states, with gradients: no torch.no_grad, no .detach().",
    cases=st.builds(_unlike, teachings()),
)
def gradient_reaches_the_model(subject: Subject, case: Teaching) -> None:
    """A loss above 0 trains something: the model, or weights of the objective's own."""
    rows = _rows(subject.component, case.seed)
    view = TinyView(case.lesson, rows)
    count, loss = subject.component.count(case.lesson, rows), subject.component.loss(view)
    if not count or float(loss.detach()) == 0:
        return
    expect(loss.requires_grad, "the loss has no gradient")
    own = list(subject.component.parameters()) if isinstance(subject.component, nn.Module) else []
    grads = torch.autograd.grad(loss, [*view.weights, *own], allow_unused=True)
    expect(any(g is not None and g.any() for g in grads), "no weight gets a gradient")


@sft_objective.check("Draw by (env.seed, update) alone; let `collate([])` ask for nothing.")
def own_samples_are_those_of_the_update(subject: Subject, case: Teaching) -> None:
    """Samples of its own are drawn alike on all processes, anew each update; a share of none counts 0."""
    if not isinstance(subject.component, OwnSamples):
        return
    one, again, later = (_rows(subject.fresh(), update) for update in (3, 3, 4))
    assert one is not None
    assert again is not None
    assert later is not None
    expect(torch.equal(one.ids, again.ids), "two processes draw other samples for the same update")
    expect(not torch.equal(one.ids, later.ids), "another update draws the same samples")
    expect(subject.component.size > 0, "there are no samples to draw")
