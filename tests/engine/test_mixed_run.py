"""A run whose decoder remembers histories: it evaluates, validates, rolls out and serves by the mixture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit import load_run
from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.data import stored_dataset
from lasar_kit.data.held_out import HeldOut
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.store.artifacts import read_json

CATALOGUE = Catalogue.discover()
SPEC = """
name: shop
dataset: {use: demo, users: 60, items: 60}
max_history: 4
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: mixed_trie, width: 60, weight: 0.4}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 1, eval_users: 10, eval_width: 60, score: trie}
  rl: {use: rl, epochs: 1, max_samples: 8, batch_size: 8, eval_users: 5, eval_width: 60,
       rollout: {use: mixed_trie, weight: 1.0, prior: popularity}}
  mixed: {use: evaluate, keep: 60}
  model: {use: evaluate, keep: 60, decoder: {use: trie_beam, width: 60, score: trie}, beside: []}
  memory: {use: evaluate, keep: 60, decoder: {use: mixed_trie, width: 60, weight: 1.0}, beside: []}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(SPEC)
    runner.run_spec(load_spec(folder / "shop.yaml", [], CATALOGUE), CATALOGUE, folder / "run", True)
    return folder / "run"


def lines(run: Path, stage: str) -> list[Mapping[str, Any]]:
    text = (run / "stages" / stage / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def priors(run: Path) -> list[dict[str, float]]:
    """Each user's probabilities of items by directed item-KNN over the last four items."""
    dataset = stored_dataset.load(run / "stages" / "dataset")
    config = CATALOGUE.config_class("ranker", "item_knn_directed").model_validate(
        {"use": "item_knn_directed"}
    )
    ranker = CATALOGUE.build("ranker", config, Env())
    ranker.fit(dataset.train, dataset.items)
    held_out = HeldOut.of(dataset, "test", 0, 0)
    scores = np.maximum(ranker.score([history[-4:] for history in held_out.histories]), 0)
    return [dict(zip(dataset.items["id"], row / row.sum(), strict=True)) for row in scores]


def test_an_evaluation_ranks_by_the_mixture(shop: Path) -> None:
    mixed, model = lines(shop, "mixed"), lines(shop, "model")
    for both, alone, prior in zip(mixed, model, priors(shop), strict=True):
        own = dict(zip(alone["items"], np.exp(alone["scores"]), strict=True))
        assert len(own) == len(both["items"]) == 60
        expected = {item: np.log(0.6 * own[item] + 0.4 * prior[item]) for item in own}
        for item, score in zip(both["items"], both["scores"], strict=True):
            assert score == pytest.approx(expected[item], abs=1e-4)
        assert both["scores"] == sorted(both["scores"], reverse=True)


def test_memory_alone_lists_what_it_remembers(shop: Path) -> None:
    for line, prior in zip(lines(shop, "memory"), priors(shop), strict=True):
        assert set(line["items"]) == {item for item, share in prior.items() if share > 0}
        assert line["scores"] == pytest.approx([np.log(prior[item]) for item in line["items"]], abs=1e-4)


def test_both_protocols_are_of_the_same_mixture(shop: Path) -> None:
    """Where all items are listed, leaving the history out moves a target up by its items before it."""
    dataset = stored_dataset.load(shop / "stages" / "dataset")
    histories = HeldOut.of(dataset, "test", 0, 0).histories
    ids = dataset.items["id"].to_list()
    for line, history in zip(lines(shop, "mixed"), histories, strict=True):
        own = {ids[item] for item in history}
        before = line["items"][: line["history_in"]["rank"] - 1]
        gone = line["target"] in own
        expected = 0 if gone else line["history_in"]["rank"] - len(own.intersection(before))
        assert line["history_out"]["rank"] == expected


def test_what_is_served_is_what_was_evaluated(shop: Path) -> None:
    dataset = stored_dataset.load(shop / "stages" / "dataset")
    histories = HeldOut.of(dataset, "test", 0, 0).histories[:5]
    ids = dataset.items["id"].to_list()
    served = load_run(shop).rank([[ids[item] for item in history] for history in histories], k=20)
    for found, line in zip(served, lines(shop, "mixed"), strict=False):
        assert [one.item for one in found] == line["items"][:20]
        assert [one.score for one in found] == pytest.approx(line["scores"][:20], abs=1e-4)


def test_validations_rank_by_the_mixture(shop: Path, tmp_path: Path) -> None:
    """Another weight gives other validations of the same training."""
    (tmp_path / "shop.yaml").write_text(SPEC)
    spec = load_spec(tmp_path / "shop.yaml", ["decoder.weight=0.0", "stages.rl=null"], CATALOGUE)
    runner.run_spec(spec, CATALOGUE, tmp_path / "run", True)
    runs = (shop, tmp_path / "run")
    reports = [read_json(run / "stages" / "ground" / "artifact.json")["report"] for run in runs]
    assert reports[0]["losses"] == reports[1]["losses"]
    assert reports[0]["validations"] != reports[1]["validations"]


@pytest.fixture(scope="module")
def second(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that remembers what the first lists, and is also evaluated with it and KNN at once; an RL stage,
    which copies the recommender, has the first run too."""
    folder = tmp_path_factory.mktemp("second")
    (folder / "shop.yaml").write_text(SPEC)
    first = f"{{use: run, run: '{shop}'}}"
    blend = f"[{{ranker: {first}, share: 0.35}}, {{ranker: item_knn_directed, share: 0.25}}]"
    prior = f"{{use: blend, of: {blend}}}"
    changes = [
        "seed=1",
        f"decoder={{use: mixed_trie, width: 60, weight: 1.0, prior: {first}}}",
        "stages.mixed.beside=[]",
        f"stages.memory.decoder={{use: mixed_trie, width: 60, weight: 0.6, prior: {prior}}}",
    ]
    spec = load_spec(folder / "shop.yaml", changes, CATALOGUE)
    runner.run_spec(spec, CATALOGUE, folder / "run", True)
    return folder / "run"


def test_another_runs_model_may_be_the_prior(shop: Path, second: Path) -> None:
    """Alone it lists what that run listed."""
    for line, other in zip(lines(second, "mixed"), lines(shop, "mixed"), strict=True):
        assert line["items"][:20] == other["items"][:20]
        assert line["scores"] == pytest.approx(other["scores"], abs=1e-3)


def test_several_rankers_may_be_the_prior(shop: Path, second: Path) -> None:
    """Model, another run's model and KNN, with 0.4, 0.35 and 0.25 of the probability."""
    rows = (lines(second, "memory"), lines(second, "model"), lines(shop, "mixed"), priors(shop))
    for both, model, other, prior in zip(*rows, strict=True):
        own, first = (dict(zip(line["items"], line["scores"], strict=True)) for line in (model, other))
        expected = {
            item: np.log(0.4 * np.exp(own[item]) + 0.35 * np.exp(first[item]) + 0.25 * prior[item])
            for item in own
        }
        assert len(both["items"]) == len(expected) == 60
        for item, score in zip(both["items"], both["scores"], strict=True):
            assert score == pytest.approx(expected[item], abs=1e-4)
        assert both["scores"] == sorted(both["scores"], reverse=True)
