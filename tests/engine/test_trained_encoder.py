"""Semantic IDs made from the vectors of a model: of the stage before, or of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.data import stored_dataset
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError
from lasar_kit.run import runner
from lasar_kit.serve.encoder import TrainedEncoder
from lasar_kit.serve.encoder_config import TrainedConfig
from lasar_kit.spec import load_spec

CATALOGUE = Catalogue.discover()
SPEC = """
name: shop
dataset: {use: demo, users: 50, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300, embedding_dropout: 0.5}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  ids: {use: tokenize, quantizer: item_id}
  id_model: {use: sft, samples: packed, epochs: 1, eval_users: 10, eval_width: 10, score: trie}
"""
SECOND = """
  tokenize:
    use: tokenize
    text_encoder: {use: concat, encoders: [{encoder: {use: trained, normalize: false}}]}
    quantizer: {use: hybrid, semantic: {use: rq_kmeans, levels: 1, codes: 7}}
  ground: {use: sft, samples: packed, epochs: 1, eval_users: 10, eval_width: 10, score: trie}
  evaluate: {use: evaluate}
  evaluate_ids: {use: evaluate, from: id_model}
"""


def run(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "shop.yaml").write_text(text)
    runner.run_spec(load_spec(folder / "shop.yaml", [], CATALOGUE), CATALOGUE, folder / "run", True)
    return folder / "run"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("chain") / "shop", SPEC + SECOND)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("alone") / "shop", SPEC)


def rows(model: Path) -> torch.Tensor:
    """The embeddings of the tokens <a_0> to <a_59> in a saved model, which are those of items 0 to 59."""
    tokens = json.loads((model / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in tokens}
    weight = load_file(model / "model.safetensors")["model.embed_tokens.weight"]
    return weight[[ids[f"<a_{item}>"] for item in range(60)]]


def test_the_vectors_are_the_rows_of_the_checkpoint(chain: Path) -> None:
    state = load_file(chain / "stages" / "tokenize" / "quantizer.safetensors")
    codes = Sids.load(chain / "stages" / "tokenize").codes
    (centroids,) = (value for value in state.values() if value.numel() == 7 * 16)
    made_of = centroids.view(7, 16)[codes[:, 0]] + state["residual"]
    expected = torch.nn.functional.normalize(rows(chain / "stages" / "id_model"))
    torch.testing.assert_close(made_of, expected, atol=1e-5, rtol=1e-4)
    assert codes[:, 1].tolist() == list(range(60))


def test_what_is_trained_on_the_new_sids_begins_anew(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPEC + SECOND)
    inputs = {stage.name: stage.inputs for stage in load_spec(tmp_path / "shop.yaml", [], CATALOGUE).plan}
    assert inputs["tokenize"] == {"dataset": "dataset", "checkpoint": "id_model"}
    assert inputs["ground"] == {"dataset": "dataset", "sids": "tokenize"}
    assert inputs["evaluate"] == {"dataset": "dataset", "sids": "tokenize", "checkpoint": "ground"}
    assert inputs["evaluate_ids"] == {"dataset": "dataset", "sids": "ids", "checkpoint": "id_model"}
    later = "stages.again={use: sft, from: tokenize}"
    again = load_spec(tmp_path / "shop.yaml", [later], CATALOGUE).plan[-1]
    assert again.inputs == {"dataset": "dataset", "sids": "tokenize"}


def test_without_a_checkpoint_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("stages:\n  ids: {use: tokenize, text_encoder: trained}\n")
    with pytest.raises(UserError, match=r"2: stages.ids: reads checkpoint, which no earlier stage makes"):
        load_spec(tmp_path / "shop.yaml", [], CATALOGUE)


CLUSTERS = """
  think:
    use: sft
    latent_loop: s2gr
    depth_policy: {use: fixed, depth: 1}
    objectives: [{objective: {use: s2gr, source: trained}}]
    epochs: 1
    eval_users: 10
    eval_width: 10
"""


def test_clusters_of_an_objective_are_of_the_checkpoint_that_its_stage_goes_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    encode = TrainedEncoder.encode

    def watched(self: TrainedEncoder, *asked: Any) -> Any:
        given.append(encode(self, *asked))
        return given[-1]

    monkeypatch.setattr(TrainedEncoder, "encode", watched)
    stages = run(tmp_path / "shop", SPEC + CLUSTERS) / "stages"
    (vectors,) = given
    np.testing.assert_allclose(
        vectors, torch.nn.functional.normalize(rows(stages / "id_model")).numpy(), atol=1e-6
    )
    assert json.loads((stages / "think" / "artifact.json").read_text())["report"]["losses"]["s2gr"] > 0


def test_clusters_of_no_checkpoint_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPEC + CLUSTERS)
    with pytest.raises(UserError, match=r"12: stages.think: reads checkpoint, which no earlier stage makes"):
        load_spec(tmp_path / "shop.yaml", ["stages.id_model=null"], CATALOGUE)


def test_a_finished_run_has_the_vectors_of_its_last_model(alone: Path) -> None:
    dataset = stored_dataset.load(alone / "stages" / "dataset")
    encoder = TrainedEncoder(TrainedConfig(use="trained", run=alone), Env(catalogue=CATALOGUE))
    order = np.random.default_rng(3).permutation(60)
    expected = torch.nn.functional.normalize(rows(alone / "model")).numpy()
    np.testing.assert_allclose(encoder.encode(dataset.items, dataset.train), expected, atol=1e-6)
    train = Sequences(dataset.train.offsets, np.argsort(order)[dataset.train.items])
    moved = encoder.encode(dataset.items[order.tolist()], train)
    np.testing.assert_allclose(moved, expected[order], atol=1e-6)


def test_an_item_that_came_later_has_the_vector_0(alone: Path) -> None:
    dataset = stored_dataset.load(alone / "stages" / "dataset")
    fresh = dataset.items[:1].with_columns(id=dataset.items["id"][:1] + "x")
    encoder = TrainedEncoder(TrainedConfig(use="trained", run=alone), Env(catalogue=CATALOGUE))
    vectors = encoder.encode(dataset.items.vstack(fresh), dataset.train)
    assert vectors.shape == (61, 16)
    assert not vectors[60].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[:60], axis=1), 1, rtol=1e-5)


def test_a_run_that_saw_other_interactions_is_refused(alone: Path) -> None:
    dataset = stored_dataset.load(alone / "stages" / "dataset")
    encoder = TrainedEncoder(TrainedConfig(use="trained", run=alone), Env(catalogue=CATALOGUE))
    with pytest.raises(UserError, match="was trained on other interactions"):
        encoder.encode(dataset.items, dataset.sequences)
    with pytest.raises(UserError, match="knows none of this run's items"):
        encoder.encode(dataset.items.with_columns(id=dataset.items["id"] + "x"), dataset.train)
