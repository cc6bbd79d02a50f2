"""The benchmarks that share benchmarks/report.py: small runs, and the documents' tables."""

from __future__ import annotations

import importlib
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"hidden_size": 32, "layers": 2, "heads": 2, "kv_heads": 1, "initializer_std": 0.3}


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """Imports a script of benchmarks/ on a small model, as it is imported when it is run."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))

        def script(name: str) -> Any:
            module = importlib.import_module(name)
            if hasattr(module, "MODEL"):
                config = importlib.import_module("lasar_plugins.qwen3.config").Qwen3Config
                patch.setattr(module, "MODEL", config(use="qwen3", **SMALL))
            return module

        yield script
    for name in ("decode", "latent", "report", "rl_step"):
        if name not in before:
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["latent", "rl_step"])
def test_the_document_holds_the_tables_of_the_results(load: Callable[[str], Any], name: str) -> None:
    script, report = load(name), load("report")
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    document = (ROOT / "docs" / "latent.md").read_text(encoding="utf-8")
    _, shown, _ = document.split(f"<!-- table: {name} -->")
    assert shown.strip() == report.markdown(script.text(result), script.tables(result))


def test_latent_measures_all_ways_on_the_same_model(load: Callable[[str], Any]) -> None:
    script = load("latent")
    args = Namespace(batch=2, prompt=6, width=5, repeats=1, items=200, text=4, batches=[4])
    result = json.loads(json.dumps(script.measure(args)))
    found = result["compare"]
    assert found["text_ranks_as_read_anew"]
    assert set(found["ms_per_user"]) == set(script.METHODS)
    base, thought, text = (found["ms_per_user"][name] for name in ("none", "mean", "text"))
    assert found["overhead"]["mean"] == pytest.approx(thought / base - 1)
    assert found["text_over_mean_added"] == pytest.approx((text - base) / (thought - base))
    assert [row["batch"] for row in result["batches"]] == [4]
    costs, batches = script.tables(result)
    assert [row[0] for row in costs[1]][-1] == "chain of thought as text, 4 tokens"
    assert len(batches[1]) == 1


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


def test_one_prompt_for_all_candidates_has_the_losses_of_a_prompt_for_each(
    load: Callable[[str], Any],
) -> None:
    script = load("rl_step")
    args = Namespace(batch=4, history=4, candidates=3, items=200, repeats=1)
    result = json.loads(json.dumps(script.measure(args)))
    assert set(result["agreement"]) == {"grpo", "reinforce", "align"}
    for term in result["agreement"].values():
        assert term["shared"] != 0
        assert term["difference"] < 1e-5
        assert term["gradient_difference"] < 1e-5
    assert 2 < result["mean_depth"] < 3
    held = result["held_megabytes"]
    assert held["repeated"] > 1.5 * held["shared"]
    for part in result["seconds"].values():
        assert part["total"] == pytest.approx(part["rollout"] + part["update"])
    ((_, rows),) = script.tables(result)
    assert [row[0] for row in rows] == list(script.WAYS.values())


def test_a_benchmark_stores_what_its_table_is_made_of(
    load: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report, output = load("report"), tmp_path / "results" / "made_up.json"

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["made_up", "--output", str(output), *arguments])
        report.main(
            ArgumentParser(),
            tmp_path / "never.json",
            lambda args: {"speed": 3},
            lambda result: "Sizes.",
            lambda result: [(("way", "speed"), [["ours", str(result["speed"])]])],
        )
        return capsys.readouterr().out

    assert "Sizes." in run()
    assert json.loads(output.read_text()) == {"speed": 3}
    assert run("--table") == "Sizes.\n\n| way | speed |\n|---|---:|\n| ours | 3 |\n"
    assert not (tmp_path / "never.json").exists()
