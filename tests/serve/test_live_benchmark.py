"""The benchmark of a changing catalogue, of a small one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import importing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """benchmarks/live.py."""
    with importing() as load:
        yield load("live")


def test_a_small_catalogue_is_patched(script: Any) -> None:
    row = script.patched(1000, 1)
    assert row["items"] == 1000
    assert all(row[name] > 0 for name in ("built_ms", "one_ms", "hundred_ms", "longest_ms"))
