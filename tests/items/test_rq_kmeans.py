"""Residual k-means against brute force and scikit-learn."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from sklearn.cluster import KMeans

from lasar_kit.core import clusters
from lasar_kit.core.clusters import distinct_rows
from lasar_kit.core.interfaces import Quantizer
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.quantizer.rq_kmeans.config import RqKmeansConfig
from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans


def quantizer(seed: int = 0, **options) -> RqKmeans:
    return RqKmeans(RqKmeansConfig(use="rq_kmeans", **options), Env(seed=seed))


def fitted(items: torch.Tensor, **options) -> RqKmeans:
    made = quantizer(**options)
    made.fit(items)
    return made


def random_items(count: int, width: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def errors_by_level(made: RqKmeans, items: torch.Tensor) -> list[float]:
    codes = made.encode(items)
    levels = range(1, codes.shape[1] + 1)
    return [float((items - made.decode(codes[:, :level])).square().sum()) for level in levels]


def test_it_is_a_quantizer() -> None:
    assert isinstance(fitted(random_items(8), codes=2), Quantizer)


def test_codes_are_the_nearest_centroids_of_residuals() -> None:
    items = random_items(200)
    made = fitted(items, levels=3, codes=8)
    found = made.encode(items).numpy()
    for item, codes in zip(items.double().numpy(), found, strict=True):
        residual = item
        for level, code in enumerate(codes):
            codebook = made.codebooks[level].double().numpy()
            distances = [float(((residual - centroid) ** 2).sum()) for centroid in codebook]
            assert distances[code] <= min(distances) + 1e-5
            residual = residual - codebook[code]
        whole = sum(made.codebooks[level][code] for level, code in enumerate(codes))
        torch.testing.assert_close(made.decode(torch.from_numpy(codes)[None])[0], whole)


def test_centroids_are_the_means_of_their_items() -> None:
    items = random_items(300)
    made = fitted(items, levels=2, codes=5)
    residual, codes = items, made.encode(items)
    for level in range(2):
        for code in range(5):
            mean = residual[codes[:, level] == code].mean(dim=0)
            torch.testing.assert_close(made.codebooks[level][code], mean, atol=1e-4, rtol=1e-3)
        residual = residual - made.codebooks[level][codes[:, level]]


def test_the_first_level_is_that_of_scikit_learn() -> None:
    items = random_items(300)
    made = fitted(items, levels=1, codes=7, seed=5)
    reference = KMeans(7, n_init=1, random_state=5).fit(items.numpy())
    np.testing.assert_array_equal(made.encode(items)[:, 0].numpy(), reference.labels_)
    assert errors_by_level(made, items)[0] == pytest.approx(reference.inertia_, rel=1e-4)


def test_planted_clusters_are_found() -> None:
    coarse = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    fine = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    items = (coarse[:, None] + fine).reshape(-1, 2)
    made = fitted(items, levels=2, codes=[3, 2])
    assert made.sizes == (3, 2)
    assert len(made.encode(items).unique(dim=0)) == 6
    torch.testing.assert_close(made.decode(made.encode(items)), items, atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_range_and_error_not_growing_by_level(count: int, codes: int, levels: int, seed: int) -> None:
    items = random_items(count, width=3, seed=seed)
    made = fitted(items, levels=levels, codes=codes, seed=seed)
    found = made.encode(items)
    assert found.shape == (count, levels)
    assert found.dtype == torch.int64
    assert found.min() >= 0
    assert found.max() < codes
    errors = [float(items.square().sum()), *errors_by_level(made, items)]
    assert all(after <= before * (1 + 1e-5) + 1e-6 for before, after in pairwise(errors))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_items_than_codes(count: int) -> None:
    items = torch.cat([random_items(count), random_items(count)])
    made = fitted(items, levels=3, codes=16)
    assert made.sizes == (16, 16, 16)
    codes = made.encode(items)
    assert int(codes[:, 0].max()) < count
    torch.testing.assert_close(made.decode(codes), items, atol=1e-5, rtol=0)
    unused = torch.full((1, 3), 15)
    assert not made.decode(unused).any()


def test_unused_codes_are_never_given() -> None:
    # Both items are far from the zero centroid of the unused codes, and the new one is near it.
    made = fitted(torch.tensor([[10.0], [12.0]]), levels=1, codes=4)
    code = made.encode(torch.tensor([[0.1]]))
    torch.testing.assert_close(made.decode(code), torch.tensor([[10.0]]))


def test_rounding_noise_makes_no_distinct_rows() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 1e-9], [0.0, 1.0]], dtype=np.float32)
    assert distinct_rows(rows, 1.0, 5) == 2
    assert distinct_rows(np.zeros((3, 2), dtype=np.float32), 0.0, 5) == 1


def test_items_without_any_energy() -> None:
    made = fitted(torch.zeros(5, 3), levels=2, codes=4)
    assert not made.encode(torch.zeros(5, 3)).any()
    assert not made.decode(torch.zeros(1, 2, dtype=torch.int64)).any()


def test_a_row_alone_has_the_codes_it_has_among_others() -> None:
    items = random_items(60)
    made = fitted(items, levels=3, codes=6)
    together = made.encode(items)
    alone = torch.cat([made.encode(row[None]) for row in items])
    torch.testing.assert_close(together, alone)


def test_it_repeats_by_seed_and_leaves_the_global_generators_alone() -> None:
    items = random_items(150)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the global state is what is looked at)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = fitted(items, codes=9, seed=2), fitted(items, codes=9, seed=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    for one, other in zip(first.codebooks, second.codebooks, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first.codebooks[0], fitted(items, codes=9, seed=3).codebooks[0])


def restored(made: RqKmeans, path: Path, **options) -> RqKmeans:
    save_file(made.state_dict(), path)
    loaded = quantizer(**options)
    loaded.load_state_dict(load_file(path))
    return loaded


def test_save_and_load(tmp_path: Path) -> None:
    items, others = random_items(5), random_items(50, seed=9)
    options = {"levels": 2, "codes": [9, 4]}
    made = fitted(items, **options)
    loaded = restored(made, tmp_path / "q.safetensors", **options)
    assert loaded.sizes == made.sizes
    for rows in (items, others):
        codes = made.encode(rows)
        assert torch.equal(loaded.encode(rows), codes)
        assert torch.equal(loaded.decode(codes), made.decode(codes))


class TestBalanced:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("k_means_constrained", reason="needs the extra 'balanced', which 'test' includes")

    def test_no_code_has_more_than_its_share(self) -> None:
        # Nine tenths of the items lie together, which plain k-means would put under few codes.
        items = torch.cat([random_items(180) * 0.1, random_items(20, seed=1) + 10])
        made = fitted(items, levels=2, codes=8, balanced=True)
        codes = made.encode(items)
        for level in range(2):
            assert torch.bincount(codes[:, level], minlength=8).max() <= 25
        plain = fitted(items, levels=2, codes=8).encode(items)
        assert torch.bincount(plain[:, 0], minlength=8).max() > 25

    def test_balanced_codes_survive_saving(self, tmp_path: Path) -> None:
        items = random_items(41)
        options = {"levels": 2, "codes": 5, "balanced": True}
        made = fitted(items, **options)
        loaded = restored(made, tmp_path / "q.safetensors", **options)
        assert torch.equal(loaded.encode(items), made.encode(items))
        assert torch.equal(fitted(items, **options).encode(items), made.encode(items))

    def test_other_items_have_their_nearest_centroid(self) -> None:
        made = fitted(random_items(40), levels=1, codes=4, balanced=True)
        others = random_items(30, seed=3)
        nearest = torch.cdist(others, made.codebooks[0]).argmin(dim=1)
        assert torch.equal(made.encode(others)[:, 0], nearest)

    def test_fewer_items_than_codes(self) -> None:
        items = random_items(3)
        codes = fitted(items, levels=2, codes=8, balanced=True).encode(items)
        assert len(codes[:, 0].unique()) == 3


def test_the_missing_library_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "k_means_constrained", None)
    with pytest.raises(UserError, match=r'pip install "lasar-kit\[balanced\]"'):
        fitted(random_items(10), codes=2, balanced=True)


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 0},
        {"levels": 27},
        {"codes": 0},
        {"codes": [4, 4]},
        {"codes": []},
        {"codes": [4, 4, 0, 4]},
        {"codes": "256"},
        {"code": 4},
        {"batch_items": -1},
        {"balanced": True, "batch_items": 100},
    ],
)
def test_bad_options(options: dict) -> None:
    with pytest.raises(ValidationError):
        RqKmeansConfig.model_validate({"use": "rq_kmeans"} | options)


def test_options_survive_a_round_trip() -> None:
    for codes in (32, [4, 8, 16, 2]):
        config = RqKmeansConfig.model_validate({"use": "rq_kmeans", "codes": codes})
        assert RqKmeansConfig.model_validate(config.model_dump(mode="json")) == config


def test_distinct_rows_are_counted_up_to_as_many_as_are_asked_for(monkeypatch) -> None:
    """Whatever the part they stand in; the second half repeats the first."""
    monkeypatch.setattr(clusters, "_CHUNK", 3)
    rows = np.repeat(np.arange(7, dtype=np.float32), 2)[:, None]
    rows = np.concatenate([rows, rows])
    assert [distinct_rows(rows, 1.0, most) for most in (1, 2, 6, 7, 8, 100)] == [1, 2, 6, 7, 7, 7]


def test_mini_batches_cost_little_of_the_error() -> None:
    """And take no more items than there are: a catalogue of one batch is clustered at once."""
    items = random_items(600)
    whole, parts = (fitted(items, levels=2, codes=16, batch_items=batch) for batch in (0, 128))
    assert errors_by_level(whole, items) < errors_by_level(parts, items)
    assert errors_by_level(parts, items)[-1] < 1.15 * errors_by_level(whole, items)[-1]
    at_once = fitted(items, levels=2, codes=16, batch_items=600)
    assert torch.equal(at_once.encode(items), whole.encode(items))
