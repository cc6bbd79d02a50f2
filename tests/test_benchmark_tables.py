"""Tables in the documents are those that the stored results give."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from tests.benchmarks import importing

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """Imports a script of benchmarks/."""
    with importing() as found:
        yield found


@pytest.fixture
def beauty(load: Callable[[str], Any]) -> Any:
    return load("beauty")


def between(path: Path, marker: str) -> str:
    return path.read_text().split(f"<!-- table: {marker} -->")[1].strip()


def test_the_table_of_beauty(beauty: Any) -> None:
    results = json.loads(beauty.RESULTS.read_text())
    assert between(ROOT / "docs" / "beauty.md", "beauty") == beauty.table(results)


def test_the_results_are_those_of_all_users_and_stand_beside_the_baselines(beauty: Any) -> None:
    for run in json.loads(beauty.RESULTS.read_text()).values():
        for row in run["metrics"].values():
            assert row["users"] == 22_363
            assert set(row["baselines"]) == {"popularity", "item_knn"}


def test_the_table_of_kills(load: Callable[[str], Any]) -> None:
    """Enough kills, in all stages, also behind checkpoints; and every run ended in the same bits."""
    kill, report = load("kill"), load("report")
    result = json.loads(kill.RESULT.read_text())
    expected = report.markdown(kill.text(result), kill.tables(result))
    assert between(ROOT / "docs" / "resume.md", "kill") == expected
    one, two = (result["runs"][number]["kills"] for number in ("1", "2"))
    assert len(one) >= 30
    assert len(two) >= 10
    assert all(hit["same"] and not hit["apart"] for hit in [*one, *two])
    for hits in (one, two):
        assert {hit["stage"] for hit in hits} >= set(kill.STAGES)
    assert sum(hit["from_checkpoint"] for hit in one) >= 5


def test_the_table_of_mutants(load: Callable[[str], Any]) -> None:
    """Of all files that are mutated; each survivor has a reason to live."""
    mutation = load("mutation")
    files = json.loads(mutation.RESULTS.read_text())
    assert between(ROOT / "docs" / "contracts.md", "mutation") == mutation.table(files)
    assert sorted(files) == sorted(name for group in mutation.GROUPS.values() for name in group["files"])
    for file in files.values():
        assert file["mutants"] == file["killed"] + len(file["survived"])
        assert all(survivor["change"] and survivor["reason"] for survivor in file["survived"])


def test_the_tables_of_a_gpu(load: Callable[[str], Any]) -> None:
    """Of each part from the file that it is told of."""
    gpu, tables = load("gpu"), load("gpu_parts.tables")
    stored = {"gpu_correct": "ab", "gpu": "cd", "gpu_launches": "efg", "gpu_contracts": "h"}
    for file, parts in stored.items():
        lines = gpu.read(ROOT / "benchmarks" / "results" / f"{file}.jsonl")
        for part in parts:
            assert between(ROOT / "docs" / "gpu.md", f"{file} {part}") == tables.text(lines, part)


def test_the_table_of_a_run_that_tells_of_both_protocols_by_itself(beauty: Any) -> None:
    """As the one of two stages is, but for what stands beside."""
    stored = json.loads(beauty.RESULTS.read_text())
    both = {
        name: {
            "metrics": {
                "evaluate": {
                    "history_out": run["metrics"]["evaluate"],
                    "history_in": run["metrics"]["evaluate_all"],
                }
            }
        }
        for name, run in stored.items()
    }
    assert beauty.table(both) == beauty.table(stored)


def test_the_tables_of_systems(load: Callable[[str], Any]) -> None:
    systems = load("systems")
    stored, page = systems.read(systems.RESULTS).results, ROOT / "docs" / "systems.md"
    for data in ("scientific", "beauty"):
        assert between(page, data) == systems.table(stored, data)
    for name in ("thinking", "held", "LASAR"):
        assert between(page, name) == systems.study(stored, "scientific", name)
    assert between(page, "steps") == systems.study(stored, "scientific", "ReaRec's steps")
    assert between(page, "LASAR beauty") == systems.study(stored, "beauty", "LASAR")
    for data in ("scientific", "beauty"):
        assert between(page, f"prefixes {data}") == systems.study(stored, data, "LASAR, each prefix a sample")
        assert between(page, f"tried {data}") == systems.tried(stored, data)


def test_the_table_of_products(load: Callable[[str], Any]) -> None:
    matmul, report = load("matmul"), load("report")
    result = json.loads(matmul.RESULT.read_text())
    assert between(ROOT / "docs" / "speed.md", "matmul") == report.markdown(
        matmul.text(result), matmul.tables(result)
    )
    (header, rows), *_ = matmul.tables({"seconds": {"work": {"torch": 1.2, "onednn": 0.0481}}})
    assert rows == [["work", "1,200", "48.1", "24.95"]]
    assert len(header) == 4


def test_the_table_of_speed(load: Callable[[str], Any]) -> None:
    """Of what is stored; each row names a script that is there; a ratio is worked out by hand."""
    speed = load("speed")
    assert between(ROOT / "docs" / "speed.md", "speed") == speed.table()
    stored = {name: json.loads((speed.RESULTS / f"{name}.json").read_text()) for name in ("decode", "live")}
    stored["live"]["rows"] = [{"items": 7, "built_ms": 60.0, "one_ms": 4.0}]
    rows = speed.decoding(stored)
    assert rows[-1][:3] == ("an item comes to 7", "the trie built anew", "15 x as fast")
    assert rows[1].limit == "2.17 x the tokens"  # (128 + 3 x 50) / 128
    assert all((ROOT / "benchmarks" / row.script).exists() for row in rows)


def test_the_plan_for_many_cards(load: Callable[[str], Any]) -> None:
    """Its sizes are those of the models that transformers builds; a row is worked out by hand."""
    plan = load("plan")
    assert between(ROOT / "docs" / "processes.md", "plan") == plan.table()
    for shape in plan.SHAPES:
        config = Qwen3Config(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.groups,
            head_dim=shape.head,
            intermediate_size=shape.mlp,
            tie_word_embeddings=shape.tied,
        )
        with torch.device("meta"):
            model = Qwen3ForCausalLM(config)
        assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    small = plan.Plan(plan.SHAPES[0], 8, sharded=False)
    assert small.state == 16 * 596_049_920
    assert small.sent == 2 * 7 / 8 * 4 * 596_049_920
    whole = plan.Plan(plan.SHAPES[0], 4, sharded=True)
    assert whole.state == (4 + 4) * 596_049_920
    assert whole.sent == 9 * 596_049_920
