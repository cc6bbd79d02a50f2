"""Runs checks: repeatably, without deadlines, down to the smallest example that fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from torch import nn

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import ComponentConfig
from lasar_kit.testing import tiny
from lasar_kit.testing.bench import on
from lasar_kit.testing.checks import CONTRACTS, checks_for
from lasar_kit.testing.checks.common import draws_numbers, global_seed
from lasar_kit.testing.contract import Broken, Check, Result, Subject
from lasar_kit.testing.describe import describe
from lasar_kit.testing.options import configured


def subject_of(
    kind: str,
    config: ComponentConfig | Mapping[str, Any] | str,
    catalogue: Catalogue | None = None,
    device: str = "cpu",
    share: float = 1.0,
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

    return Subject(kind, made.use, make, made, {"catalogue": catalogue}, device, share)


def run_check(check: Check, subject: Subject) -> Result:
    """Try a check on examples; of those that fail, the smallest is told."""
    # Of a failure that is declared no example is told, and shrinking one of a slow component takes minutes.
    declared = check.name in subject.exceptions
    share = 1.0 if declared else subject.share  # what is declared has to be seen
    drawn = _Drawn(check.cases, _trainable(check, subject), check.examples)
    failure = _first_failure(check, subject, _examples(drawn)[: max(1, round(share * check.examples))])
    if failure is None:
        return Result(check, True)
    if not declared:
        failure = _smallest_failure(check, subject, drawn) or failure
    case, training, error = failure
    if isinstance(error, UserError) and not declared:
        raise error from None
    mode = "in training mode" if training else ""
    example = "; ".join(filter(None, (mode, describe(case))))
    return Result(check, False, _found(error), example, crash=_crash(error))


Failure = tuple[Any, bool, Exception]
"""A case, whether in training mode, and what was raised."""
Examples = tuple[tuple[Any, bool], ...]
"""Cases, each with whether in training mode."""


@dataclass(frozen=True)
class _Drawn:
    """So many examples of cases, in `both` modes or in evaluation mode alone; they are the same each time."""

    cases: st.SearchStrategy[Any]
    both: bool
    count: int

    def given(self, law: Callable[[Any, bool], None], *phases: Phase) -> None:
        """Call `law(case, training)` on each by hypothesis."""

        @settings(
            max_examples=self.count,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            print_blob=False,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        @seed(0)
        @given(self.cases, st.booleans() if self.both else st.just(False))
        def examine(case: Any, training: bool) -> None:
            law(case, training)

        examine()


@cache
def _examples(drawn: _Drawn) -> Examples:
    """Drawn once for all checks and components: to draw a case takes longer than to try most laws on it."""
    found: list[tuple[Any, bool]] = []
    drawn.given(lambda case, training: found.append((deepcopy(case), training)), Phase.generate)
    return tuple(found)


def _first_failure(check: Check, subject: Subject, examples: Examples) -> Failure | None:
    for case, training in examples:
        try:
            _examine(check, subject, deepcopy(case), training)
        except Exception as error:
            return case, training, error
    return None


def _smallest_failure(check: Check, subject: Subject, drawn: _Drawn) -> Failure | None:
    """None of a component that does not repeat itself, and so may not fail again."""
    failures: list[Failure] = []

    def law(case: Any, training: bool) -> None:
        try:
            _examine(check, subject, case, training)
        except Exception as error:
            failures.append((case, training, error))
            raise

    try:
        drawn.given(law, Phase.generate, Phase.shrink)
    except Exception:
        if not failures:
            raise
    return failures[-1] if failures else None


def _examine(check: Check, subject: Subject, case: Any, training: bool) -> None:
    subject.training = training
    try:
        with on(subject.device), global_seed(0):
            check.law(subject, case)
    finally:
        subject.training = False


def _trainable(check: Check, subject: Subject) -> bool:
    """Whether to try it in training mode too: not where dropout makes two results differ."""
    if not CONTRACTS[check.kind].trains or check.examples == 1:
        return False
    if subject.draws is None:
        subject.draws = _draws(subject)
    return subject.draws == "nothing" or (subject.draws == "numbers" and check.any_draw)


def _draws(subject: Subject) -> str:
    """Say what it draws in training mode; `unknown` of what has no such mode, or raises there."""
    try:
        if not isinstance(subject.component, nn.Module):
            return "unknown"
        training = replace(subject, training=True)
        contract = CONTRACTS[subject.kind]
        some = _Drawn(contract.cases, False, 6)  # the smallest may ask for too little to draw anything
        with on(subject.device):
            drawn = any(draws_numbers(contract, training, case) for case, _ in _examples(some))
    except Exception:  # told by the laws
        return "unknown"
    return "numbers" if drawn else "nothing"


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
    reason = expected or subject.exceptions.get(check.name, "")
    told = check.name
    if result.crash and not reason:
        told = subject.crashes.setdefault(result.crash, check.name)
    return replace(result, expected=reason, untried="" if told == check.name else told)


def _found(error: Exception) -> str:
    if isinstance(error, Broken):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    line = " ".join(str(error).split())
    of_a_law = Path(place.filename).is_relative_to(Path(__file__).parent)
    hint = "; is a 'return' missing?" if of_a_law and "'NoneType' object" in line else ""
    return f"raised {type(error).__name__}: {line} (at {place.filename}:{place.lineno}){hint}"


def _crash(error: Exception) -> str:
    """Return what tells one crash from another: its place or, where a law's own call failed, its text."""
    if isinstance(error, Broken):
        return ""
    place = traceback.extract_tb(error.__traceback__)[-1]
    inside = Path(place.filename).is_relative_to(Path(__file__).parent / "checks")
    return f"{type(error).__name__} {error if inside else f'{place.filename}:{place.lineno}'}"
