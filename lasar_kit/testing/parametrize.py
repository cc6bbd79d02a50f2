"""Checks as pytest tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError, nearest
from lasar_kit.testing.checks import checks_for
from lasar_kit.testing.contract import Check, Subject
from lasar_kit.testing.runner import run_expecting, subject_of


@dataclass(frozen=True)
class BoundCheck:
    """A check of one component; calling it runs it."""

    check: Check
    subject: Subject
    expected: str = ""

    def __call__(self) -> None:
        """Fail with the check's message, or as an expected failure with its reason."""
        __tracebackhide__ = True
        result = run_expecting(self.check, self.subject, self.expected)
        if result.untried:
            pytest.skip(result.message)
        if not result.ok:
            pytest.fail(result.message, pytrace=False)
        if not result.passed:
            pytest.xfail(result.expected)

    @property
    def id(self) -> str:
        return f"{self.subject.kind}-{self.subject.name}-{self.check.name}"


def bound_checks(
    components: Sequence[tuple[str, Any] | Subject],
    expected: Mapping[str, str],
    catalogue: Catalogue | None = None,
) -> list[BoundCheck]:
    """Every check of every component; `UserError` for an expected failure that is none of their checks."""
    catalogue = catalogue or Catalogue.discover()
    subjects = [
        component if isinstance(component, Subject) else subject_of(*component, catalogue=catalogue)
        for component in components
    ]
    bound = [
        BoundCheck(check, subject, expected.get(check.name, ""))
        for subject in subjects
        for check in checks_for(subject.kind)
    ]
    names = {each.check.name for each in bound}
    wrong = [
        f"expected_failures: no check {name!r}; {nearest(name, names)}"
        for name in expected
        if name not in names
    ]
    wrong += [
        f"expected_failures: {name}: give the reason"
        for name, reason in expected.items()
        if not reason.strip()
    ]
    if wrong:
        raise UserError(*wrong)
    return bound


def parametrize(
    components: Sequence[tuple[str, Any] | Subject],
    expected: Mapping[str, str],
    plugin_paths: Iterable[Path | str],
) -> pytest.MarkDecorator:
    """`parametrize_with_checks`."""
    bound = bound_checks(components, expected, Catalogue.discover(plugin_paths))
    return pytest.mark.parametrize("check", [pytest.param(each, id=each.id) for each in bound])
