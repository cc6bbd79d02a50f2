"""The tf-idf encoder."""

from __future__ import annotations

import numpy as np
import pytest

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_plugins.text_encoder.tfidf_svd import encoder as encoder_module
from lasar_plugins.text_encoder.tfidf_svd.config import TfidfSvdConfig
from lasar_plugins.text_encoder.tfidf_svd.encoder import TfidfSvdEncoder

NO_SEQUENCES = Sequences.of([])


def encode(items, **options) -> np.ndarray:
    config = TfidfSvdConfig(use="tfidf_svd", **options)
    return TfidfSvdEncoder(config, Env(seed=3)).encode(items, NO_SEQUENCES)


def test_full_rank_keeps_the_cosines_of_tfidf(catalogue) -> None:
    # Single words, each in one or two items, by hand: N = 4 items, idf = ln((1 + N) / (1 + df)) + 1.
    items = catalogue(title=["red polish", "red lipstick", "green polish", "green lipstick"])
    vectors = encode(items, fields=["title"], ngrams=1, dimensions=16)
    # All four words are in two items, so each title has two equal weights: cosine 1/2 with one shared word.
    expected = np.array([[1, 0.5, 0.5, 0], [0.5, 1, 0, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1]])
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-5)


def test_unit_length_float32_and_at_most_the_dimensions_asked_for(catalogue) -> None:
    words = ["ash", "birch", "cedar", "date", "elm", "fir"]
    items = catalogue(title=[f"{a} {b}" for a in words for b in words if a < b])
    vectors = encode(items, dimensions=3)
    assert vectors.shape == (15, 3)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_an_item_without_text_is_zero(catalogue) -> None:
    vectors = encode(catalogue(title=["red polish", "", "red comb", " &nbsp; "]))
    assert not vectors[[1, 3]].any()
    assert vectors[[0, 2]].any(axis=1).all()


@pytest.mark.parametrize(
    "titles", [["polish"], ["a"], [""], ["", ""], ["one two", "three four"], ["polish"] * 3]
)
def test_tiny_catalogues(catalogue, titles: list[str]) -> None:
    vectors = encode(catalogue(title=titles))
    assert len(vectors) == len(titles)
    assert np.isfinite(vectors).all()


def test_equal_texts_have_equal_vectors_and_runs_repeat(catalogue) -> None:
    items = catalogue(title=["red polish", "green comb", "red polish", "red comb"])
    vectors = encode(items, dimensions=2)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    np.testing.assert_array_equal(vectors, encode(items, dimensions=2))


def test_only_the_fields_named_are_read(catalogue) -> None:
    plain = catalogue(title=["red polish", "green comb", "red comb"])
    branded = plain.with_columns(brand=plain["title"])
    np.testing.assert_array_equal(encode(plain, fields=["title"]), encode(branded, fields=["title"]))
    assert encode(branded, fields=["title", "brand"]).shape != encode(plain, fields=["brand"]).shape


def test_later_items_are_embedded_by_the_words_of_the_catalogue(catalogue) -> None:
    """By hand, at full rank: cosines of tf-idf with the weights of the catalogue, unknown words aside."""
    config = TfidfSvdConfig(use="tfidf_svd", fields=["title"], ngrams=1, min_items=1)
    encoder = TfidfSvdEncoder(config, Env(seed=3))
    titles = ["red polish", "red lipstick", "green polish", "green"]  # four words, and all of their space
    first = encoder.encode(catalogue(title=titles), NO_SEQUENCES)
    other = TfidfSvdEncoder(config, Env(seed=4))
    other.load_state_dict(encoder.state_dict())
    later = other.embed(catalogue(title=["green", "a blue red", "", "blue"]))
    # `lipstick`, in one of four titles, weighs ln(5 / 2) + 1, the others, in two, ln(5 / 3) + 1.
    rare, common = np.log(5 / 2) + 1, np.log(5 / 3) + 1
    np.testing.assert_allclose(first @ later[0], [0, 0, np.sqrt(0.5), 1], atol=1e-5)
    expected = [np.sqrt(0.5), common / np.hypot(rare, common), 0, 0]
    np.testing.assert_allclose(first @ later[1], expected, atol=1e-5)
    assert not later[2:].any()
    assert {value.dtype.itemsize for value in encoder.state_dict().values()} == {1, 4, 8}


def test_a_catalogue_without_words_gives_later_items_none(catalogue) -> None:
    config = TfidfSvdConfig(use="tfidf_svd")
    encoder = TfidfSvdEncoder(config, Env())
    encoder.encode(catalogue(title=["", ""]), NO_SEQUENCES)
    other = TfidfSvdEncoder(config, Env())
    other.load_state_dict(encoder.state_dict())
    np.testing.assert_array_equal(other.embed(catalogue(title=["red"])), [[0]])


def test_axes_of_a_part_of_the_items(catalogue) -> None:
    """As if the others came later; a catalogue of no more is learnt from whole."""
    words = ["ash", "birch", "cedar", "date", "elm", "fir"]
    items = catalogue(title=[f"{a} {b}" for a in words for b in words if a < b])
    part = items[np.sort(np.random.default_rng(3).choice(15, 9, replace=False))]
    config = TfidfSvdConfig(use="tfidf_svd", dimensions=3)
    encoder = TfidfSvdEncoder(config, Env(seed=3))
    encoder.encode(part, NO_SEQUENCES)
    np.testing.assert_array_equal(encode(items, dimensions=3, fit_items=9), encoder.embed(items))
    np.testing.assert_array_equal(encode(items, dimensions=3, fit_items=15), encode(items, dimensions=3))


def test_rows_are_projected_in_parts(catalogue, monkeypatch) -> None:
    items = catalogue(title=["red polish", "green comb", "red polish", "red comb", "green polish"])
    whole = encode(items, dimensions=2)
    monkeypatch.setattr(encoder_module, "_ROWS", 2)
    projected, read = [], []
    norm, item_text = np.linalg.norm, encoder_module.item_text

    def counted_norm(rows, **options) -> np.ndarray:
        projected.append(len(rows))
        return norm(rows, **options)

    def counted_text(rows, fields) -> list[str]:
        read.append(rows.height)
        return item_text(rows, fields)

    config = TfidfSvdConfig(use="tfidf_svd", dimensions=2)
    encoder = TfidfSvdEncoder(config, Env(seed=3))
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "norm", counted_norm)
        np.testing.assert_array_equal(encoder.encode(items, NO_SEQUENCES), whole)
    assert projected == [2, 2, 1]
    monkeypatch.setattr(encoder_module, "item_text", counted_text)
    np.testing.assert_array_equal(encoder.embed(items), whole)
    assert read == [2, 2, 1]
