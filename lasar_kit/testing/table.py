"""Results of checks as text."""

from __future__ import annotations

from collections.abc import Sequence

from lasar_kit.testing.checks import CONTRACTS, common
from lasar_kit.testing.contract import Result


def as_text(title: str, results: Sequence[Result]) -> str:
    """A line a check; what was found on the smallest example, and what to do, under those that failed."""
    width = max(len(result.check.name) for result in results)
    lines = []
    for result in results:
        lines.append(f"{_verdict(result):<8} {result.check.name:<{width}}  {result.check.says}")
        if result.untried:
            lines.append(f"{'':<8} it raises what {result.untried} tells")
        elif not result.ok:
            lines += [
                f"{'':<8} {line}"
                for line in result.message.removeprefix(f"{result.check.name}: ").splitlines()
            ]
        elif result.expected:
            lines.append(f"{'':<8} as declared: {result.expected}")
    good = sum(result.ok for result in results)
    return "\n".join([*lines, f"{title}: {good} of {len(results)} checks as they should be"])


def _verdict(result: Result) -> str:
    if result.untried:
        return "untried"
    if not result.ok:
        return "FAILED"
    return "passed" if result.passed else "expected"


def laws_as_markdown() -> str:
    """Every check with its law, by kind: those that all kinds share first."""
    shared = {law.__name__: law for law, _ in common.SHARED}
    parts = [_section("All kinds", [(name, law.__doc__ or "") for name, law in shared.items()])]
    for kind, contract in CONTRACTS.items():
        parts.append(_section(f"`{kind}`", [(check.name, check.says) for check in contract.checks]))
    return "\n\n".join(parts)


def _section(title: str, laws: Sequence[tuple[str, str]]) -> str:
    rows = [f"- `{name}`: {' '.join(says.split())}" for name, says in laws]
    return "\n".join([f"### {title}", "", *rows])
