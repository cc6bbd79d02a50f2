"""The benchmark of a changing catalogue, of a small one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """benchmarks/live.py."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("live")
    for name in {"live", "decode", "report"} - before:
        sys.modules.pop(name, None)


def test_a_small_catalogue_is_patched(script: Any) -> None:
    row = script.patched(1000, 1)
    assert row["items"] == 1000
    assert all(row[name] > 0 for name in ("built_ms", "one_ms", "hundred_ms"))
