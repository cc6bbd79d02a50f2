"""The RL stage on a small shop, behind a reasoning stage."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.train import validation
from tests.small import SHOP

SPEC = SHOP + "name: lasar\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "lasar")


def run(folder: Path, *overrides: str) -> Path:
    (folder.parent / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    loaded = load_spec(folder.parent / "lasar.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, folder, True)
    return folder


def log(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] == "rl" and "loss" in line]


def test_every_term_and_number_is_logged(finished: Path) -> None:
    lines = log(finished)
    assert len(lines) == 3
    expected = {
        "loss_grpo",
        "loss_reinforce",
        "loss_align",
        "reward",
        "group_hit",
        "depth",
        "ratio",
        "clipped",
    }
    expected |= {"kl", "zero_variance", "depth_entropy", "baseline", "advantage_rms"}
    assert expected <= set(lines[0])
    for line in lines:
        total = line["loss_grpo"] + 0.01 * line["loss_reinforce"] + 1e-5 * line["loss_align"]
        assert line["loss"] == pytest.approx(total, rel=1e-4, abs=1e-6)
        assert sum(line[f"depth_{n}"] for n in range(1, 5) if f"depth_{n}" in line) == pytest.approx(1)
    # The first update compares the policy with itself, and with a reference that is still the same.
    assert lines[0]["ratio"] == pytest.approx(1, abs=1e-5)
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert lines[-1]["kl"] > 0


def test_the_trained_model_is_evaluated(finished: Path) -> None:
    row = json.loads((finished / "metrics.json").read_text())["evaluate"]
    assert 1 <= row["mean_depth"] <= 4
    weights = [finished / folder / "model.safetensors" for folder in ("model", "stages/rl")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(
    "overrides",
    [
        ("stages.rl.updates_per_rollout=2", "stages.rl.depth=argmax"),
        ("stages.rl.objectives=[{objective: {use: grpo, kl: exact, level: sequence}}]",),
        ("stages.rl.from=ground", "stages.rl.score=vocabulary", "stages.rl.samples=longest_per_user"),
        ("stages.tokenize.collision=allow", "stages.tokenize.quantizer.levels=2"),
    ],
    ids=str,
)
def test_every_way_of_rl_runs(finished: Path, overrides: tuple[str, ...]) -> None:
    folder = run(finished.parent / "ways", *overrides)
    assert all(np.isfinite(line["loss"]) for line in log(folder))


@pytest.mark.parametrize("ranks", [(1, 2), (2, 1)])
def test_the_best_on_validation_is_kept_the_model_it_began_with_among_them(
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ranks: tuple[int, int],
) -> None:
    """Every target at the first of `ranks` before the first update, at the second after the last."""
    coming = iter(ranks)
    monkeypatch.setattr(
        validation, "target_ranks", lambda items, *_: (np.full(len(items), next(coming)), np.ones(len(items)))
    )
    folder = run(finished.parent / f"first_{ranks[0]}", f"stages.rl.optimizer.lr=0.{ranks[0]}")
    report = json.loads((folder / "stages" / "rl" / "artifact.json").read_text())["report"]
    assert [line["update"] for line in report["validations"]] == [0, 3]
    assert report["best_ndcg@10"] == 1
    assert report["best_update"] == (0 if ranks[0] == 1 else 3)
    told = "the model of update 3"
    if ranks[0] == 1:
        told = "the model before the first update; no update made it better on validation"
    shown = capsys.readouterr().out
    assert shown.count("kept: ") == 1
    assert f"  kept: {told}\n" in shown
    kept = [load_file(folder / "stages" / name / "model.safetensors") for name in ("rl", "reason")]
    same = [torch.equal(weight, kept[1][name]) for name, weight in kept[0].items()]
    assert all(same) if ranks[0] == 1 else not any(same)
    evaluated = json.loads((folder / "metrics.json").read_text())["evaluate"]
    assert evaluated.get("unchanged_by") == ("rl" if ranks[0] == 1 else None)
    assert ("is the model before rl" in shown) == (ranks[0] == 1)


def test_the_last_model_is_left_if_asked_for_and_prompts_may_be_chosen_and_refilled(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every target stands at the first place before the first update, and at the second later."""
    coming = iter((1, 2))
    monkeypatch.setattr(
        validation, "target_ranks", lambda items, *_: (np.full(len(items), next(coming)), np.ones(len(items)))
    )
    options = ("keep=last", "prompts=likely", "max_samples=80", "refill=2", "rewards=[{reward: rule}]")
    folder = run(finished.parent / "last", *(f"stages.rl.{option}" for option in options))
    report = json.loads((folder / "stages" / "rl" / "artifact.json").read_text())["report"]
    assert (report["best_update"], report["kept_update"]) == (0, 3)
    assert report["samples"] == 80
    assert 0 < report["chance"]["all"] < report["chance"]["chosen"] < 1
    printed = capsys.readouterr().out
    assert "kept: the model of the last update, 3; that of update 0 was the best on validation" in printed
    assert "unchanged_by" not in json.loads((folder / "metrics.json").read_text())["evaluate"]
    lines = log(folder)
    assert all(line["zero_variance"] <= line["refilled"] <= 2 for line in lines)
    assert any(line["refilled"] > line["zero_variance"] for line in lines)


def test_what_fails_is_said_at_once_and_in_the_report(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rewards without weight: the candidates of a prompt all have the same, and no update can help."""
    capsys.readouterr()
    weightless = "stages.rl.rewards=[{reward: rule, weight: 0}]"
    folder = run(finished.parent / "weightless", weightless, "stages.rl.optimizer.lr=1e-9")
    said = " ".join(capsys.readouterr().out.split())
    warnings = json.loads((folder / "stages" / "rl" / "artifact.json").read_text())["report"]["warnings"]
    assert len(warnings) == 2
    assert warnings[0].startswith(
        "at update 3: the candidates of every prompt have one reward (zero_variance 1"
    )
    assert warnings[1].startswith("no update made the model better: validation ndcg@10 ")
    for line in warnings:
        assert said.count(f"stages.rl: {line}") == 1


def test_the_depth_policy_learns_at_its_own_rate(finished: Path) -> None:
    """With next to none for all else, the policy moves and the backbone does not."""
    folder = run(
        finished.parent / "apart",
        "stages.rl.optimizer.lr=1.0e-12",
        "stages.rl.depth_lr=0.01",
        "stages.rl.patience=0",
    )
    # Whichever checkpoint was the best, the log tells: the KL from the reference stays 0, the entropy moves.
    lines = log(folder)
    assert lines[-1]["kl"] == pytest.approx(0, abs=1e-7)
    slow = log(run(finished.parent / "apart", "stages.rl.optimizer.lr=1.0e-12"))
    assert abs(lines[-1]["depth_entropy"] - slow[-1]["depth_entropy"]) > 1e-4


def test_alignment_of_no_weight_is_left_out(finished: Path) -> None:
    assert "loss_align" in log(finished)[0]
    assert "loss_align" not in log(run(finished.parent / "unaligned", "stages.rl.align_weight=0"))[0]
