"""Laws for every teacher (paper 2.3, E.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lasar_kit.core.interfaces import Teacher
from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.testing.contract import Contract, Subject, expect
from lasar_kit.testing.item_strategies import HISTORIES, Histories

Inputs = Sequence[ReasoningRequest]


def _given(case: Histories) -> Inputs:
    return case.requests()


def _texts(component: Teacher, requests: Inputs) -> dict[int, str | None]:
    """The texts by request; with a target where the teacher asks for it."""
    if component.wants_target:
        requests = [replace(request, target=ReasoningItem(title="Sun hat")) for request in requests]
    return dict(component.write(requests))


def _act(component: Teacher, inputs: Inputs) -> dict[str, Any]:
    return {"texts": _texts(component, inputs)}


teacher = Contract("teacher", Teacher, HISTORIES, _given, _act, examples=10)


@teacher.check("Yield (index, text) once for each request; None where there is nothing to say.")
def each_request_is_answered_once(subject: Subject, case: Histories) -> None:
    """Every request has one answer: a text that is not blank, or None."""
    came = ReasoningItem(title="Sun hat") if subject.component.wants_target else None
    answers = list(subject.component.write([replace(request, target=came) for request in _given(case)]))
    indices, count = sorted(index for index, _ in answers), len(case.titles)
    expect(indices == list(range(count)), f"answered requests {indices} of {count}")
    for index, text in answers:
        sound = text is None or (isinstance(text, str) and text.strip())
        expect(sound, f"the answer to request {index} is {text!r}")


@teacher.check("Write from the request at hand; keep nothing of the others.")
def histories_are_judged_alone(subject: Subject, case: Histories) -> None:
    """A history has the text among others that it has alone."""
    requests = _given(case)
    together = _texts(subject.component, requests)
    for index, request in enumerate(requests):
        alone = _texts(subject.component, [request])[0]
        expect(alone == together[index], f"request {index}: {together[index]!r}, alone {alone!r}")


@teacher.check("Set wants_target, or leave request.target unread: the text would give the answer away.")
def target_is_read_only_if_wanted(subject: Subject, case: Histories) -> None:
    """A teacher that does not ask for the next item writes the same whatever it was."""
    if subject.component.wants_target:
        return
    results = [dict(subject.component.write(case.requests(target))) for target in (None, "Sun hat")]
    for index, (without, told) in enumerate(zip(results[0].values(), results[1].values(), strict=True)):
        expect(without == told, f"request {index}: {told!r} with the target in it, {without!r} without")
