"""The benchmark of constrained search: small runs, and the document's table."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import importing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[Any, Any]]:
    """benchmarks/constrained.py and benchmarks/report.py."""
    with importing() as load:
        yield load("constrained"), load("report")


def test_the_document_holds_the_table_of_the_results(scripts: tuple[Any, Any]) -> None:
    script, report = scripts
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    _, shown, _ = (ROOT / "docs" / "decoding.md").read_text().split("<!-- table: constrained -->")
    assert shown.strip() == report.markdown(script.text(result), script.tables(result))
    assert all(row["all_allowed"] for row in result["rows"])
    assert {row["found"] for row in result["rows"] if row["allowed"] != "10"} == {result["sizes"]["width"]}


def test_a_small_run_measures_everything(scripts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    script, _ = scripts
    tiny = {"hidden_size": 32, "layers": 1, "heads": 2, "kv_heads": 1, "initializer_std": 0.3}
    monkeypatch.setattr(script, "MODEL", type(script.MODEL)(use="qwen3", **tiny))
    args = Namespace(batch=2, prompt=6, width=20, repeats=1, catalogues=[200, 2000])
    result = json.loads(json.dumps(script.measure(args)))
    small, large = ("10", "half", "all but 50", "all but none"), tuple(script.SHARES)
    assert [row["allowed"] for row in result["rows"]] == [*small, *large]
    assert [row["found"] for row in result["rows"]] == [10, 20, 20, 20, 10, 20, 20, 20, 20]
    assert all(row["all_allowed"] for row in result["rows"])
    assert "alone" in script.text(result)
    ((header, rows),) = script.tables(result)
    assert {len(row) for row in rows} == {len(header)}
