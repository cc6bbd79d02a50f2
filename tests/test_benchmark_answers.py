"""The benchmarks of models that answer: small runs, and what their figures are made of."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.benchmarks import on_a_small_model


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """Imports a script of benchmarks/ on a small model, as it is imported when it is run."""
    with on_a_small_model() as script:
        yield script


def test_packed_weights_are_timed_by_turns_with_torchs_products(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds, of which the first does not count; what the environment said stands again behind it all."""
    script, told = load("packed"), []
    monkeypatch.setenv(script.VARIABLE, "")
    monkeypatch.setattr(script, "seconds", lambda work: work() or float(len(told)))
    assert script.timed(lambda: told.append(os.environ[script.VARIABLE]), 1) == {"own": 3.0, "packed": 4.0}
    assert told == ["torch", ""] * 2
    monkeypatch.setenv(script.VARIABLE, "onednn")
    monkeypatch.setattr(script, "works", lambda args: {"nothing": lambda: None})
    result = script.measure(Namespace(repeats=1))
    assert os.environ[script.VARIABLE] == "onednn"
    assert script.tables({**result, "seconds": {"a": {"own": 0.02, "packed": 0.016}}}) == [
        (["work", "torch, ms", "packed, ms", "times as fast"], [["a", "20", "16", "1.25"]])
    ]


def test_searches_of_all_sizes_are_those_of_generate(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, and which sizes the peer is run on; 3 levels of 4 beams read 8 tokens behind a prompt."""
    load("decode")  # whose model it is
    script = load("decode_sizes")
    monkeypatch.setattr(script, "SIZES", (script.Size(2, 3, 4), script.Size(1, 1, 4), script.Size(2, 2, 9)))
    monkeypatch.setattr(script, "PROFILED", script.SIZES[:1])
    result = script.measure(Namespace(prompt=6, items=300, most=8, repeats=1))
    assert [row.get("equal") for row in result["rows"]] == [True, True, None]
    (shares,) = (row["shares"] for row in result["parts"])
    assert set(shares) == set(script.PARTS)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert script.Size(2, 3, 4).times_the_prompt(6) == pytest.approx((6 + 8) / 6)
    names = ("addmm", "_linear_pointwise", "_scaled_dot_product_flash_attention_for_cpu", "topk", "copy_")
    parts = ["products", "products", "attention", "choice of beams", "the rest"]
    assert [script.part(name) for name in names] == parts
    (header, rows), (_, profiled) = script.tables(result)
    assert len(header) == len(rows[0])
    assert rows[2][-1] == ""
    assert profiled[0][:3] == ["2", "3", "4"]


def test_latent_measures_all_ways_on_the_same_model(load: Callable[[str], Any]) -> None:
    script = load("latent")
    args = Namespace(batch=2, prompt=6, width=5, repeats=1, items=200, text=4, batches=[4])
    result = json.loads(json.dumps(script.measure(args)))
    found = result["compare"]
    assert found["text_ranks_as_read_anew"]
    assert set(found["ms_per_user"]) == set(script.METHODS)
    added = found["overhead"]
    assert set(added) == set(script.METHODS) - {"none"}
    assert found["text_over_mean_added"] == pytest.approx(added["text"] / added["mean"])
    assert [row["batch"] for row in result["batches"]] == [4]
    costs, batches = script.tables(result)
    assert [row[0] for row in costs[1]][-1] == "chain of thought as text, 4 tokens"
    assert len(batches[1]) == 1


def test_what_is_added_is_of_the_same_round(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rounds by a stand-in for the clock, behind a call of each that does not count; text runs once."""
    script, order = load("latent"), []
    times = {"none": [0.0, 1.0, 3.0, 5.0], "mean": [0.0, 2.0, 3.5, 7.0], "text": [0.0, 9.0]}

    def method(name: str) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return times[name].pop(0)

        return run

    monkeypatch.setattr(script, "seconds", lambda run: run())
    taken, added = script.interleaved({name: method(name) for name in times}, 1, slow="text")
    assert taken == {"none": 3.0, "mean": 3.5, "text": 9.0}
    assert added == {"none": 0.0, "mean": 1.0, "text": 8.0}
    assert order[3:] == ["none", "mean", "text", "mean", "none", "none", "mean"]


def test_thoughts_of_the_benchmark_are_those_asked_for(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows by turns 2 and 3 deep, in three steps; and the trace is what is ranked."""
    script = load("latent")
    with torch.no_grad():
        bench = script.Bench(items=50, width=3)
        ids = script.prompts(4, 5)
        seen = []
        monkeypatch.setattr(bench, "rank", seen.append)
        bench.latent(ids, script.MIXED)
        bench.latent(ids, (script.DEEPEST,))
        bench.none(ids)
    depths = [trace.mask.sum(-1).flatten().tolist() for trace in seen]
    assert depths == [[2, 3, 2, 3], [8] * 4, [0] * 4]
    assert [trace.mask.shape[-1] for trace in seen] == [3, 8, 0]
    assert not torch.allclose(seen[0].last, seen[1].last)
