"""The benchmark of a changing catalogue: a small one, and the document's table."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[Any, Any]]:
    """benchmarks/live.py and benchmarks/report.py."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("live"), importlib.import_module("report")
    for name in {"live", "decode", "report"} - before:
        sys.modules.pop(name, None)


def test_the_document_holds_the_table_of_the_results(scripts: tuple[Any, Any]) -> None:
    script, report = scripts
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    _, shown, _ = (ROOT / "docs" / "serve.md").read_text().split("<!-- table: live -->")
    assert shown.strip() == report.markdown(script.text(result), script.tables(result))
    assert (result["kills"]["kills"], result["kills"]["mistakes"]) == (30, 0)


def test_a_small_catalogue_is_patched(scripts: tuple[Any, Any]) -> None:
    row = scripts[0].patched(1000, 1)
    assert row["items"] == 1000
    assert all(row[name] > 0 for name in ("built_ms", "one_ms", "hundred_ms"))
