"""A component that raises is told so once; what it declares to break may hang on its options."""

from __future__ import annotations

from typing import Any

from lasar_kit.testing import check_component, checks_for
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.runner import run_check, run_checks
from lasar_kit.testing.table import as_text
from lasar_kit.testing.tiny import TinyReward


class Raises(TinyReward):
    """Raises whatever it is asked."""

    def reward(self, judged: Any) -> Any:
        raise ValueError("no use")


class Narrow(TinyReward):
    """Takes the wrong number of arguments."""

    def reward(self) -> Any:  # type: ignore[override]
        return None


class Silent(TinyReward):
    """Computes, and forgets to return it."""

    def reward(self, judged: Any) -> Any:
        super().reward(judged)


class Unbuilt(TinyReward):
    """Cannot be built."""

    def __init__(self, config: Any, env: Any) -> None:
        raise ValueError("no use")


class Misspelt(TinyReward):
    """Declares to break what is no law."""

    contract_exceptions = {"the_target_earns_mots": "a reason"}  # noqa: RUF012


def subject(made: type) -> Subject:
    return Subject("reward", made.__name__, lambda env: made(None, env))


def test_a_crash_is_told_once() -> None:
    for made, text in ((Raises, "raised ValueError: no use"), (Narrow, "takes 1 positional argument but 2")):
        results = run_checks(subject(made))
        told = [result for result in results if result.found and not result.untried]
        assert [result.check.name for result in told] == ["nothing_is_raised"]
        assert text in told[0].message
        others = [result for result in results if result.untried]
        assert {result.untried for result in others} == {"nothing_is_raised"}
        assert "rewards_are_finite" in {result.check.name for result in others}
        page = as_text("title", results)
        assert page.count("FAILED") == 1
        assert page.count(text) == 1
        assert page.count("untried") == len(others)
        assert "it raises what nothing_is_raised tells" in page


def test_what_returns_nothing_is_asked_for_its_return() -> None:
    told = [result.message for result in run_checks(subject(Silent)) if result.found and not result.untried]
    assert told
    assert all("; is a 'return' missing?" in message for message in told)


def test_what_cannot_be_built_is_told_once() -> None:
    results = run_checks(subject(Unbuilt))
    assert [result.check.name for result in results] == ["has_its_interface"]
    assert "raised ValueError: no use" in results[0].message


def test_a_declared_exception_must_be_a_law() -> None:
    named = next(check for check in checks_for("reward") if check.name == "has_its_interface")
    found = run_check(named, subject(Misspelt)).found
    assert found == (
        "contract_exceptions: no check 'the_target_earns_mots'; did you mean 'the_target_earns_most'?"
    )


def test_declared_exceptions_hang_on_options() -> None:
    for sign, declared in ((-1, set()), (1, {"the_target_earns_most"})):
        results = check_component("reward", "ndcg", {"sign": sign})
        assert {result.check.name for result in results if result.expected} == declared
        assert all(result.ok for result in results)
