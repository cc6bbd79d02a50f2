"""A whole run on a small shop: what it leaves behind, and what it reuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import metrics
from lasar_kit.errors import UserError
from lasar_kit.report.compare import compare
from lasar_kit.report.table import SHOWN
from lasar_kit.run.dry_run import dry_run
from lasar_kit.serve.recommend import recommend
from lasar_kit.spec import load_spec
from tests.engine.shop_run import SPEC, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "first")


def lines(path: Path) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_run_folder_holds_what_is_promised(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    written = {"spec.lock.yaml", "metrics.json", "predictions.jsonl", "log.jsonl", "model", "stages"}
    assert names == {".lock", *written}
    assert {path.name for path in (finished / "stages").iterdir()} == {
        "dataset",
        "tokenize",
        "ground",
        "evaluate",
    }
    row = json.loads((finished / "metrics.json").read_text())["evaluate"]
    six = {f"{name}@{k}" for name in ("hr", "ndcg") for k in (5, 10, 20)}
    ranked = {"short_lists", "baselines"} | six
    about = {"users", "exclude_history", "targets_in_history", "mean_depth", "history_in", "history_out"}
    assert set(row) == ranked | about
    assert set(row["history_in"]) == ranked
    assert set(row["history_out"]) == ranked | {"ceiling"}
    for part in (row, row["history_in"], row["history_out"]):
        assert list(part["baselines"]) == ["popularity", "item_knn", "item_knn_directed", "random"]
        assert all(set(values) == six | {"short_lists"} for values in part["baselines"].values())
    assert {name: row[name] for name in ranked} == row["history_in"]
    assert row["users"] == 80
    assert row["mean_depth"] == 0.0


def test_no_file_is_shared_with_another(finished: Path) -> None:
    """Whoever saves a model into `model/`, or edits a file where it lies, changes that one alone."""
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"model.safetensors", "predictions.jsonl"}
    assert [path for path in files if path.stat().st_nlink > 1] == []


def test_predictions_give_the_metrics_again(finished: Path) -> None:
    rows = lines(finished / "predictions.jsonl")
    assert rows == lines(finished / "stages" / "evaluate" / "predictions.jsonl")
    assert len({row["user"] for row in rows}) == len(rows) == 80
    for row in rows:
        assert len(set(row["items"])) == len(row["items"]) == len(row["scores"]) == 20
        assert row["scores"] == sorted(row["scores"], reverse=True)
        assert row["depth"] == 0
    rank = [row["items"].index(row["target"]) + 1 if row["target"] in row["items"] else 0 for row in rows]
    stored = json.loads((finished / "metrics.json").read_text())["evaluate"]
    for name, value in metrics.summary(np.array(rank)).items():
        assert stored[name] == pytest.approx(value)


def test_the_log_has_a_line_a_step_and_the_validations(finished: Path) -> None:
    log = lines(finished / "log.jsonl")
    steps = [line for line in log if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    assert {"stage", "step", "epoch", "loss", "grad_norm", "lr", "items", "samples_per_s"} == set(steps[0])
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert [line["validation_ndcg@10"] for line in log if "validation_ndcg@10" in line]


def test_the_model_loads_with_transformers_and_spells_sids(finished: Path) -> None:
    for folder in (finished / "model", finished / "stages" / "ground"):
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer("<a_0><b_5><c_2><|lat_s|>")["input_ids"]
        assert len(ids) == 4
        assert model(torch.tensor([ids])).logits.shape[-1] == len(tokenizer)
    assert not list(finished.rglob("*.bin")) + list(finished.rglob("*.pkl")) + list(finished.rglob("*.pt"))


def test_the_same_spec_and_seed_give_the_same_metrics(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = run(finished.parent / "again", use_cache=False)
    assert (again / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()
    assert (again / "predictions.jsonl").read_bytes() == (finished / "predictions.jsonl").read_bytes()
    other = run(finished.parent / "other", "seed=1")
    assert (other / "metrics.json").read_bytes() != (finished / "metrics.json").read_bytes()
    capsys.readouterr()
    compare([finished, other], None)  # one spec, two seeds
    stored = [json.loads((folder / "metrics.json").read_text())["evaluate"] for folder in (finished, other)]
    means = [f"{np.mean([row[name] for row in stored]):.4f}" for name in SHOWN]
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in shown if row[:1] == ["small"])
    assert row[1:7] == means
    assert shown[shown.index(row) + 1][:4] == ["sd", "of", "2", "seeds"]


def test_only_what_changed_is_computed_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(finished)
    shown = capsys.readouterr().out
    assert shown.count("reused, unchanged") == 4
    second = run(finished.parent / "second", "stages.evaluate.exclude_history=true")
    shown = capsys.readouterr().out
    assert shown.count("reused, from") == 3
    assert "\nevaluate\n" in shown
    log = [{**line, "samples_per_s": 0} for line in lines(finished / "log.jsonl")]
    assert [{**line, "samples_per_s": 0} for line in lines(second / "log.jsonl")] == log
    own = json.loads((second / "metrics.json").read_text())["evaluate"]
    for row in lines(second / "predictions.jsonl"):
        assert len(row["items"]) <= 20
    assert own["baselines"] != json.loads((finished / "metrics.json").read_text())["evaluate"]["baselines"]


def test_excluding_the_history_excludes_it(finished: Path) -> None:
    folder = run(finished.parent / "excluded", "stages.evaluate.exclude_history=true")
    from lasar_kit.data import stored_dataset

    dataset = stored_dataset.load(folder / "stages" / "dataset")
    ids = dataset.items["id"].to_list()
    history = {
        user: {ids[item] for item in dataset.sequences[row][:-1]} for row, user in enumerate(dataset.users)
    }
    assert all(not history[row["user"]] & set(row["items"]) for row in lines(folder / "predictions.jsonl"))


def test_a_dry_run_writes_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = Catalogue.discover()
    loaded = load_spec(finished.parent / "small.yaml", ["stages.evaluate.keep=3"], catalogue)
    dry_run(loaded, catalogue, finished.parent / "dry", True)
    shown = capsys.readouterr().out
    assert "keep: 3" in shown
    assert shown.count("reuse") == 3
    assert not (finished.parent / "dry").exists()


def test_recommend_ranks_titles_for_raw_ids(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(finished / "predictions.jsonl")
    from lasar_kit.data import stored_dataset

    dataset = stored_dataset.load(finished / "stages" / "dataset")
    ids = dataset.items["id"].to_list()
    history = [ids[item] for item in dataset.sequences[3][:-1]]
    recommend(finished, [("--history", history)], 4, Catalogue.discover())
    shown = capsys.readouterr().out
    places = [shown.index(item) for item in rows[3]["items"][:4]]
    assert places == sorted(places)
    assert dataset.items["title"][ids.index(rows[3]["items"][0])].split()[0] in shown
    with pytest.raises(UserError, match=r"^--history: no item 'nonsense' in this run"):
        recommend(finished, [("--history", ["nonsense"])], 4, Catalogue.discover())
    with pytest.raises(UserError, match="is not the folder of a run"):
        recommend(finished.parent, [("--history", history)], 4, Catalogue.discover())


def test_items_may_share_a_sid(finished: Path) -> None:
    folder = run(
        finished.parent / "shared", "stages.tokenize.collision=allow", "stages.tokenize.quantizer.levels=1"
    )
    rows = lines(folder / "predictions.jsonl")
    assert all(len(set(row["items"])) == len(row["items"]) for row in rows)
    stored = json.loads((folder / "metrics.json").read_text())["evaluate"]
    assert 0 < stored["hr@20"] <= 1
    found = np.array([[row["rank"], row["ties"]] for row in rows])
    assert found[:, 1].max() > 1
    for name, value in metrics.summary(*found.T).items():
        assert stored[name] == pytest.approx(value)


@pytest.mark.parametrize(
    "overrides",
    [
        ("stages.ground.precision=bf16",),
        ("prompt=minionerec", "stages.ground.gradient_accumulation=3"),
        ("stages.ground.samples=sliding", "stages.ground.batch_size=200", "prompt=minionerec"),
        ("stages.ground.samples=longest_per_user", "stages.ground.score=vocabulary"),
        ("backbone.dtype=bfloat16",),
        ("stages.ground.text.weight=1.0", "stages.ground.gradient_accumulation=2"),
    ],
    ids=" ".join,
)
def test_every_way_of_training_runs(finished: Path, overrides: tuple[str, ...]) -> None:
    folder = run(finished.parent / "ways", "stages.ground.epochs=1", *overrides)
    losses = [line["loss"] for line in lines(folder / "log.jsonl") if "loss" in line]
    assert losses
    assert np.isfinite(losses).all()


def test_a_run_starts_from_a_pretrained_folder(finished: Path) -> None:
    """A run's own model serves as the pretrained one: its tokens are there already, and it starts low."""
    folder = run(
        finished.parent / "pretrained",
        f"backbone={{use: qwen3, pretrained: {finished / 'model'}}}",
        "stages.ground.optimizer.lr=1.0e-6",
    )
    first = next(line["loss"] for line in lines(folder / "log.jsonl"))
    assert first < next(line["loss"] for line in lines(finished / "log.jsonl"))
    sizes = [(run_folder / "model" / "config.json") for run_folder in (folder, finished)]
    assert json.loads(sizes[0].read_text())["vocab_size"] == json.loads(sizes[1].read_text())["vocab_size"]


def test_a_second_training_stage_goes_on_from_the_first(finished: Path) -> None:
    spec = SPEC.replace(
        "  evaluate:",
        "  more: {use: sft, samples: packed, epochs: 1, eval_width: 10, log_every: 1}\n  evaluate:",
    )
    folder = run(finished.parent / "two", spec=spec)
    log = lines(folder / "log.jsonl")
    assert {line["stage"] for line in log} == {"ground", "more"}
    assert (folder / "model" / "model.safetensors").read_bytes() == (
        folder / "stages" / "more" / "model.safetensors"
    ).read_bytes()


def test_early_stopping_keeps_the_best_checkpoint(finished: Path) -> None:
    """With a rate that destroys the model, validation only gets worse: training stops, the best stays."""
    folder = run(
        finished.parent / "stopped",
        "stages.ground.optimizer.lr=3.0",
        "stages.ground.optimizer.warmup=0",
        "stages.ground.epochs=30",
        "stages.ground.patience=2",
        "stages.ground.eval_every=0.5",
    )
    report = json.loads((folder / "stages" / "ground" / "artifact.json").read_text())["report"]
    values = [validation["ndcg@10"] for validation in report["validations"]]
    assert report["updates"] < 30 * 2
    assert report["best_ndcg@10"] == max(values)
    assert values[-2:] == sorted(values[-2:], key=lambda value: value > max(values))
    best = values.index(max(values))
    assert len(values) - 1 - best == 2
