"""The benchmark of a server: its requests, its malformed bodies, and the page's table."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.serve.http.bodies import RecommendBody
from tests.benchmarks import importing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[Any, Any]]:
    """benchmarks/serve.py and benchmarks/report.py."""
    with importing() as load:
        yield load("serve"), load("report")


def test_the_page_holds_the_table_of_the_results(scripts: tuple[Any, Any]) -> None:
    """At 1, 8 and 32 clients without a refusal; malformed bodies without a 500, and no growth of memory."""
    script, report = scripts
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    _, shown, _ = (ROOT / "docs" / "serve.md").read_text().split("<!-- table: serve -->")
    assert shown.strip() == report.markdown(script.text(result), script.tables(result))
    assert [row["clients"] for row in result["load"]] == [1, 8, 32]
    assert all(row["refused"] + row["failed"] == 0 for row in result["load"])
    assert sum(result["malformed"].values()) >= 10_000
    assert set(result["malformed"]) <= {"200", "422"}


def test_good_bodies_are_good_and_malformed_ones_are_not(scripts: tuple[Any, Any]) -> None:
    script, _ = scripts
    good, draw = script.bodies(10), random.Random(3)
    asked = [RecommendBody.model_validate_json(body) for body in good[:40]]
    assert sum(bool(body.filter) for body in asked) == 10
    assert sum(body.exclude_history for body in asked) == 20
    made = [script.malformed(good[0], draw) for _ in range(200)]
    assert made != [script.malformed(good[0], draw) for _ in range(200)]
    assert sum(body == good[0].encode() for body in made) < 20


def test_memory_is_watched_at_four_fifths_of_the_load(
    scripts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight clients, 100 requests a second at most, 75 ms each: 40 ms between two requests of a client."""
    script, _ = scripts
    numbers = iter(range(500, 600))
    monkeypatch.setattr(script, "megabytes", lambda pid: next(numbers))
    asked = []

    def load_of(*given: Any) -> dict[str, Any]:
        asked.append(given)
        return {"per_second": 79.0, "refused": 0, "failed": 0}

    server = type("Server", (), {"pid": 1})()
    most = {"clients": 8, "per_second": 100.0, "ms": {"p50": 75.0}}
    held = script.soak(server, load_of, most, 600)
    assert held == {"seconds": 600, "megabytes": [*range(500, 511)], "share": pytest.approx(0.79)}
    assert asked == [(8, 30, pytest.approx(0.04)), *[(8, 60, pytest.approx(0.04))] * 10]
