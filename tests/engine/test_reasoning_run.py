"""Stage 2 on a small shop: anchors from the template teacher, then SFT with thoughts of several depths."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import samples
from lasar_kit.core.reasoning.from_dataset import requests_of
from lasar_kit.core.values import Env
from lasar_kit.data import stored_dataset
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.spec import LoadedSpec, load_spec
from tests.small import SHOP

SPEC = (
    SHOP
    + """
name: thinking
stages:
  ground: {epochs: 2, log_every: 1}
  anchors: {max_segments: 5, max_samples: null}
  reason: {depth_policy: {n_max: 5}, epochs: 3, log_every: 1}
  rl: null
"""
)


def load(folder: Path, *overrides: str) -> tuple[LoadedSpec, Catalogue]:
    (folder / "thinking.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    return load_spec(folder / "thinking.yaml", overrides, catalogue), catalogue


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    loaded, catalogue = load(folder)
    runner.run_spec(loaded, catalogue, folder / "thinking", True)
    return folder / "thinking"


def log(run: Path, stage: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] == stage and "loss" in line]


def test_all_terms_are_logged_add_up_and_fall(thinking: Path) -> None:
    lines = log(thinking, "reason")
    for line in lines:
        total = line["loss_ce"] + 0.1 * line["loss_align"] + 0.1 * line["loss_policy"]
        assert line["loss"] == pytest.approx(total, rel=1e-5)
    third = len(lines) // 3
    for name in ("loss_ce", "loss_align", "loss_policy"):
        values = [line[name] for line in lines]
        assert np.mean(values[-third:]) < np.mean(values[:third]), name


def test_the_model_thinks_and_says_how_long(thinking: Path) -> None:
    row = json.loads((thinking / "metrics.json").read_text())["evaluate"]
    depth = [json.loads(line)["depth"] for line in (thinking / "predictions.jsonl").read_text().splitlines()]
    assert row["mean_depth"] == pytest.approx(np.mean(depth))
    assert all(1 <= value <= 5 for value in depth)
    names = {path.name for path in (thinking / "model").iterdir()}
    assert {"depth_policy.safetensors", "model.safetensors", "recommender.json"} <= names


def test_anchors_are_the_states_at_the_ends_of_the_teachers_segments(thinking: Path) -> None:
    """Each stored state against transformers' own forward over that one segment, begun as training texts."""
    loaded, catalogue = load(thinking.parent)
    stages = thinking / "stages"
    dataset = stored_dataset.load(stages / "dataset")
    config = loaded.spec.stages["anchors"]
    teacher = catalogue.build("teacher", config.teacher, Env())  # type: ignore[attr-defined]
    segmenter = catalogue.build("segmenter", config.segmenter, Env())  # type: ignore[attr-defined]
    sids, decoder = Sids.load(stages / "tokenize"), loaded.spec.decoder
    recommender = Recommender.load(stages / "ground", catalogue, decoder, sids, Env()).eval()
    store = AnchorStore.open(stages / "anchors")
    windows = samples.sliding(dataset.train, 6)
    counts = store.counts([(window.user, window.stop - 1) for window in windows])
    assert counts.max() <= 5
    assert len(set(counts.tolist())) > 1
    for window in windows[::40]:
        request = requests_of(dataset, [(window.user, window.start, window.stop - 1)])
        ((_, text),) = teacher.write(request)
        segments = segmenter.segment(text)[:5]
        anchors, label = store.batch([[(window.user, window.stop - 1)]], 1)
        assert label.item() == len(segments) == anchors.mask.sum()
        for place, segment in enumerate(segments):
            ids = recommender.backbone.tokenizer("<bos>" + segment, return_tensors="pt")
            assert ids["input_ids"][0, 0] == recommender.backbone.tokenizer.bos_token_id
            with torch.no_grad():
                state = recommender.backbone.model.model(ids["input_ids"]).last_hidden_state[0, -1]
            assert torch.allclose(anchors.states[0, 0, place], state, atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize(
    "overrides",
    [
        ("stages.reason.samples=sliding", "stages.reason.depth=policy", "stages.reason.batch_size=128"),
        (
            "stages.reason.depth_policy={use: fixed, depth: 2}",
            "stages.reason.aligner={use: terminal, distance: cosine}",
        ),
        (
            "stages.reason.latent_loop={use: coconut, exit: direct}",
            "prompt=minionerec",
            "stages.anchors.context=prompt_prefixed",
            "stages.anchors.max_samples=50",
        ),
        (
            "stages.anchors.context=cumulative",
            "stages.anchors.max_samples=50",
            "stages.reason.aligner={use: stepwise, space: vocab}",
        ),
    ],
    ids=str,
)
def test_every_way_of_reasoning_runs(thinking: Path, overrides: tuple[str, ...]) -> None:
    folder = thinking.parent / "ways"
    loaded, catalogue = load(thinking.parent, "stages.reason.epochs=1", *overrides)
    runner.run_spec(loaded, catalogue, folder, True)
    assert all(np.isfinite(line["loss"]) for line in log(folder, "reason"))


def test_depth_is_reported_by_choice_drawn_and_forced(thinking: Path) -> None:
    rows = {}
    for depth in ("argmax", "sample", "3"):
        loaded, catalogue = load(thinking.parent, f"stages.evaluate.depth={depth}")
        runner.run_spec(loaded, catalogue, thinking.parent / f"depth-{depth}", True)
        stored = json.loads((thinking.parent / f"depth-{depth}" / "metrics.json").read_text())
        rows[depth] = row = stored["evaluate"]
        users = {int(value): found["users"] for value, found in row["by_depth"].items()}
        assert sum(users.values()) == row["users"] == 60
        assert row["mean_depth"] == pytest.approx(sum(d * n for d, n in users.items()) / 60)
        hits = sum(found["users"] * found["hr@10"] for found in row["by_depth"].values())
        assert hits / 60 == pytest.approx(row["hr@10"])
    assert list(rows["3"]["by_depth"]) == ["3"]
    assert len(rows["sample"]["by_depth"]) > 2
    with pytest.raises(
        UserError,
        match=r"^--set stages.evaluate.depth: stages.evaluate.depth: depth 9 cannot be forced: this model's "
        r"depth policy has 1, 2, 3, 4, 5",
    ):
        load(thinking.parent, "stages.evaluate.depth=9")
