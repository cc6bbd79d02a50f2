"""The benchmarks that share benchmarks/report.py: small runs, and the documents' tables."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.benchmarks import SMALL, on_a_small_model

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], Any]]:
    """Imports a script of benchmarks/ on a small model, as it is imported when it is run."""
    with on_a_small_model() as script:
        yield script


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("latent", "latent"),
        ("rl_step", "latent"),
        ("rl_trl", "latent"),
        ("scale", "scale"),
        ("sft", "sft"),
        ("thinking_update", "sft"),
        ("item_softmax", "sft"),
        ("tree_attention", "speed"),
        ("packed", "speed"),
        ("decode_sizes", "decoding"),
        ("profile_update", "sft"),
    ],
)
def test_the_document_holds_the_tables_of_the_results(
    load: Callable[[str], Any], name: str, page: str
) -> None:
    script, report = load(name), load("report")
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    document = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    _, shown, _ = document.split(f"<!-- table: {name} -->")
    assert shown.strip() == report.markdown(script.text(result), script.tables(result))


def test_the_figure_of_an_update_is_of_the_stored_profile(load: Callable[[str], Any], tmp_path: Path) -> None:
    """Each operation is in one group, and the figure says what the table does."""
    script = load("profile_update")
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    script.draw(result, tmp_path / "drawn.svg")
    for path in (tmp_path / "drawn.svg", script.FIGURE):
        drawn = path.read_text(encoding="utf-8")
        for seconds in result["seconds"].values():
            assert f" {1000 * seconds / result['answers']:.1f} ms" in drawn
    for shares in result["shares"].values():
        assert sum(shares.values()) == pytest.approx(1.0)
    operations = ("addmm", "_foreach_add_", "_flash_attention_forward", "copy_", "index_add_", "mul")
    kinds = [script.kind(f"aten::{name}") for name in operations]
    assert kinds == ["products", "optimiser", "attention", "copies", "copies", "the rest"]


def test_the_document_holds_the_table_of_scaling(load: Callable[[str], Any]) -> None:
    """None as long as it was not measured."""
    script, report = load("scaling"), load("report")
    document = (ROOT / "docs" / "processes.md").read_text(encoding="utf-8")
    _, shown, _ = document.split("<!-- table: scaling -->")
    result = json.loads(script.RESULT.read_text(encoding="utf-8")) if script.RESULT.exists() else None
    expected = report.markdown(script.text(result), script.tables(result)) if result else ""
    assert shown.strip() == expected


def test_scaling_takes_medians_and_compares_lists(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs by a stand-in: alone 8, 10 and 30 seconds, two processes 5, 4 and 4, with other lists."""
    script = load("scaling")
    took, asked = iter([8.0, 5.0, 10.0, 4.0, 30.0, 4.0]), []

    def run(folder: Path, output: Path, *options: str) -> None:
        asked.append(options)
        made = yaml.safe_load((folder / "scaling.yaml").read_text())
        trains = "stages.evaluate=null" in options
        assert trains or (output / "stages" / "ground").is_dir()  # a copy of the trained run
        seconds = 0 if trains else next(took)
        for name in ("ground",) if trains else script.STAGES:
            stage = output / "stages" / name
            stage.mkdir(parents=True)  # so it was not there yet
            report = {"parameters": 3, "users": made["dataset"]["users"]}
            (stage / "artifact.json").write_text(json.dumps({"report": report, "seconds": seconds}))
        if not trains:
            (stage / "predictions.jsonl").write_text("" if "1" in options else "x")
            lines = [
                {"stage": "ground", "loss": 9},
                {"stage": "rl", "loss": len(options[-1]) + seconds / 1e3},
            ]
            (output / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))

    monkeypatch.setattr(script, "run", run)
    sizes = {"users": 40, "items": 60, "codes": 8, "width": 16, "layers": 1, "epochs": 1.0, "prompts": 9}
    result = json.loads(json.dumps(script.measure(Namespace(processes=[1, 2], repeats=3, **sizes))))
    assert asked[1:] == [("--processes", "1"), ("--processes", "2")] * 3
    ((_, rows),) = script.tables(result)
    assert rows[-2:] == [["evaluation", "1", "10.0", "1.00 ×"], ["evaluation", "2", "4.0", "2.50 ×"]]
    assert [row[0] for row in rows[::2]] == list(script.STAGES.values())
    assert "LISTS THAT DIFFER, losses of 1 updates within 2e-02" in script.text(result)
    assert "equal lists for every user" in script.text({**result, "equal_lists": True})


def test_the_trees_of_attention_are_chains_with_branches_on_them(load: Callable[[str], Any]) -> None:
    """Two branches of two tokens, on the second and the last of four."""
    script = load("tree_attention")
    assert script.parents(3, 4, 2, 2).tolist() == [[-1, 0, 1, 2, 1, 4, 3, 6]] * 3


def test_an_update_that_thinks_loses_the_same_by_both_forms_of_the_softmax(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load("sft")
    script = load("thinking_update")
    monkeypatch.setattr(script.token_logp, "taken", script.taken)
    monkeypatch.setattr(script, "BACKBONE", {**script.BACKBONE, **SMALL})
    args = Namespace(ways=["plain", "each"], users=3, lengths=[4], items=30, repeats=1)
    result = json.loads(json.dumps(script.measure(args)))
    assert result["equal"]
    assert result["answers"] == 3 * 3
    ((_, rows),) = script.tables(result)
    assert [row[0] for row in rows] == [script.WAYS[way][0] for way in args.ways]
    assert rows[0][2] == rows[0][4] == "1.00 x"
    assert "LOSSES THAT DIFFER" in script.text({**result, "equal": False})


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


def test_grpo_is_that_of_trl(load: Callable[[str], Any]) -> None:
    """Gradients of two updates on the same candidates, clipped ratios among the second one's."""
    pytest.importorskip("trl", reason="the peer is not installed (pip install trl)")
    load("sft")
    script = load("rl_trl")
    args = Namespace(batch=3, history=3, candidates=4, items=200, repeats=1, ways=["held", "alone"])
    result = json.loads(json.dumps(script.measure(args)))
    agree = result["agreement"]
    assert max(agree["gradient_difference"]) < 1e-4
    assert agree["loss"]["kit"] == pytest.approx(agree["loss"]["trl"], abs=1e-6)
    assert agree["clipped"][0] == 0 < agree["clipped"][1] < 1
    for way in ("held", "alone"):
        ours, theirs = (result["ways"][way][who]["total"] for who in ("kit", "trl"))
        assert result["ratio"][way] == pytest.approx(theirs / ours)
    ((_, rows),) = script.tables(result)
    held, alone = (script.WAYS[way] for way in ("held", "alone"))
    assert [row[0] for row in rows] == [held.beside, held.label, alone.beside, alone.label]


def test_a_peer_that_is_not_there_is_asked_for_in_one_line(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(SystemExit, match=r"^trl is not installed; the peer comes with: pip install trl$"):
        load("rl_trl").measure(Namespace())


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


def test_an_update_is_timed_beside_transformers(load: Callable[[str], Any]) -> None:
    """Packed and sliding learn the same answers; where nothing is left out, from the same loss."""
    script = load("sft")
    args = Namespace(
        users=2, history=4, items=40, product=64, repeats=1, ways=["packed", "sliding", "trainer"]
    )
    result = json.loads(json.dumps(script.measure(args)))
    assert result["answers"] == 6
    assert set(result["seconds"]) == {"packed", "sliding", "trainer"}
    packed, sliding = (result["losses"][way][0] for way in ("packed", "sliding"))
    assert packed == pytest.approx(sliding, rel=1e-4)
    assert 0 <= result["padding"]["by_length"] < result["padding"]["shuffled"]
    ((_, rows),) = script.tables(result)
    assert [row[0] for row in rows] == [script.WAYS[way] for way in result["seconds"]]
