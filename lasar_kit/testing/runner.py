"""Runs checks: repeatably, without deadlines, down to the smallest example that fails."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import ComponentConfig
from lasar_kit.testing import tiny
from lasar_kit.testing.checks import checks_for
from lasar_kit.testing.contract import Broken, Check, Result, Subject
from lasar_kit.testing.describe import describe
from lasar_kit.testing.options import configured


def subject_of(
    kind: str,
    config: ComponentConfig | Mapping[str, Any] | str,
    catalogue: Catalogue | None = None,
    device: str = "cpu",
) -> Subject:
    """The component of a config, a table with `use`, or a name."""
    checks_for(kind)
    catalogue = catalogue or Catalogue.discover()
    made = configured(kind, config, catalogue)
    if lacking := [name for name in type(made).checked_with if getattr(made, name) is None]:
        raise UserError(
            f"{kind} {made.use}: cannot be checked without {' and '.join(lacking)}: add --set "
            f"{lacking[0]}=…; the items of the checks are called {tiny.ITEM_IDS[0]} to {tiny.ITEM_IDS[-1]}"
        )

    def make(env: Any) -> Any:
        return catalogue.build(kind, made, env)

    return Subject(kind, made.use, make, made, {"catalogue": catalogue}, device)


def run_check(check: Check, subject: Subject) -> Result:
    """Try a check on examples; of those that fail, the smallest is told."""
    failures: list[tuple[Any, Exception]] = []

    @settings(
        max_examples=check.examples,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(check.cases)
    def examine(case: Any) -> None:
        try:
            check.law(subject, case)
        except Exception as error:
            failures.append((case, error))
            raise

    try:
        examine()
    except Exception:
        # The last one is the smallest; a component that does not repeat itself may not fail again.
        if not failures:
            raise
        case, error = failures[-1]
        if isinstance(error, UserError):
            raise error from None
        return Result(check, False, _found(error), describe(case))
    return Result(check, True)


def run_checks(subject: Subject) -> list[Result]:
    """All checks of a component, in order; where it lacks its interface, that check alone."""
    results = []
    for check in checks_for(subject.kind):
        results.append(run_expecting(check, subject))
        if check.name == "has_its_interface" and not results[-1].passed:
            break
    return results


def run_expecting(check: Check, subject: Subject, expected: str = "") -> Result:
    """A check's result, with the reason why it is to fail: the one given, or the component's own."""
    result = run_check(check, subject)
    if check.name == "has_its_interface" and not result.passed:
        return result
    return replace(result, expected=expected or subject.exceptions.get(check.name, ""))


def _found(error: Exception) -> str:
    if isinstance(error, Broken):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    line = " ".join(str(error).split())
    return f"raised {type(error).__name__}: {line} (at {place.filename}:{place.lineno})"
