"""The decoding benchmark: its baselines agree with the decoder, and the document shows what was measured."""

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
def benchmark() -> Iterator[Any]:
    """benchmarks/decode.py."""
    with importing() as load:
        yield load("decode")


def test_document_holds_the_table_of_the_results(benchmark: Any) -> None:
    document = (ROOT / "docs" / "decoding.md").read_text(encoding="utf-8")
    _, shown, _ = document.split("<!-- table: decode -->")
    assert shown.strip() == benchmark.markdown(json.loads(benchmark.RESULT.read_text(encoding="utf-8")))


def test_a_small_run_measures_everything(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden_size": 32, "layers": 1, "heads": 2, "kv_heads": 1, "initializer_std": 0.3}
    monkeypatch.setattr(benchmark, "MODEL", benchmark.Qwen3Config(use="qwen3", **small))
    args = Namespace(batch=2, prompt=6, width=5, repeats=1, items=200, catalogues=[100, 1000])
    result = benchmark.measure(args)
    assert result["compare"]["identical_sequences"]
    assert result["compare"]["largest_score_difference"] < 1e-4
    assert [row["items"] for row in result["constraint"]] == [100, 1000]
    assert all(row["share_of_search"] > 0 for row in result["constraint"])
    assert benchmark.markdown(json.loads(json.dumps(result))).count("\n| ") == 2 + 4 + 2
