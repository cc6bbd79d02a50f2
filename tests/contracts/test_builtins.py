"""All built-in components keep the laws of their kinds, under options that change what they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.testing import check_component
from lasar_kit.testing.checks import CONTRACTS
from tests.contracts.components import COMPONENTS, DECLARED, ELSEWHERE

CATALOGUE = Catalogue.discover()
FIRST, FURTHER = 0.5, 0.15
"""Shares of the examples that a component is tried on: under the options listed first, and under others."""
CASES = [
    pytest.param(kind, table, share, id=f"{kind}-{table['use']}-{n}")
    for kind, tables in COMPONENTS.items()
    for n, table in enumerate(tables)
    for share in [FURTHER if table["use"] in {before["use"] for before in tables[:n]} else FIRST]
]


@pytest.fixture
def placed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    """Fills `{name}` in options with what the fixture of that name made."""
    made: dict[str, Callable[[], Any]] = {
        "files": lambda: request.getfixturevalue("files"),
        "model": lambda: request.getfixturevalue("language_model"),
        "endpoint": lambda: request.getfixturevalue("endpoint"),
        "cache": lambda: tmp_path,
        "sentences": lambda: request.getfixturevalue("sentence_model"),
    }

    def fill(value: Any) -> Any:
        for name, make in made.items():
            if isinstance(value, str) and f"{{{name}}}" in value:
                return value.replace(f"{{{name}}}", str(make()))
        return value

    return fill


@pytest.mark.parametrize(("kind", "table", "share"), CASES)
def test_a_built_in_keeps_the_laws(
    kind: str, table: dict[str, Any], share: float, placed: Callable[[Any], Any]
) -> None:
    if table.get("balanced"):
        pytest.importorskip("k_means_constrained", reason="needs the extra 'balanced', which 'test' includes")
    options = {name: placed(value) for name, value in table.items() if name != "use"}
    results = check_component(kind, table["use"], options, CATALOGUE, share=share)
    assert [result.message for result in results if not result.ok] == []
    assert {result.check.name for result in results if result.expected} <= DECLARED.get(table["use"], set())


def test_every_built_in_is_tried() -> None:
    tried = {(kind, table["use"]) for kind, tables in COMPONENTS.items() for table in tables}
    assert tried.isdisjoint(ELSEWHERE)
    built_in = {(entry.kind, entry.name) for entry in CATALOGUE.entries() if entry.kind in CONTRACTS}
    assert built_in == tried | set(ELSEWHERE)
