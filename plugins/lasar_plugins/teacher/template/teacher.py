"""The offline teacher: as many steps as a history gives ground for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.values import Env
from lasar_plugins.teacher.template.config import TemplateTeacherConfig
from lasar_plugins.teacher.template.evidence import Evidence
from lasar_plugins.teacher.template.steps import STEPS


class TemplateTeacher:
    """One to eight steps, the more the longer and more varied a history is (as in paper Table 8)."""

    wants_target = False

    def __init__(self, config: TemplateTeacherConfig, env: Env) -> None:
        self.report = env.report

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """A text for every history of which any item has a title or a category."""
        for index, request in enumerate(requests):
            yield index, reasoning(request)
        self.report({"done": float(len(requests)), "total": float(len(requests))})


def reasoning(request: ReasoningRequest) -> str | None:
    """The numbered steps of one history."""
    evidence = Evidence.of(request.history)
    if not evidence.purchases:
        return None
    texts = [(heading, step(evidence)) for heading, step in STEPS]
    given = [(heading, text) for heading, text in texts if text]
    return "\n".join(
        f"Step {number}: {heading}\n{text}" for number, (heading, text) in enumerate(given, start=1)
    )
