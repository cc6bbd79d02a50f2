"""Embeddings from files, and what is said about bad ones."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.text_encoder.precomputed.config import PrecomputedConfig
from lasar_plugins.text_encoder.precomputed.encoder import PrecomputedEncoder

ROWS = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], dtype=np.float32)


@pytest.fixture
def items(catalogue):
    return catalogue(title=["x", "y", "z"])


def encode(items, **options) -> np.ndarray:
    config = PrecomputedConfig(use="precomputed", **options)
    return PrecomputedEncoder(config, Env()).encode(items, Sequences.of([]))


def mistake(items, **options) -> str:
    with pytest.raises(UserError) as caught:
        encode(items, **options)
    (line,) = caught.value.lines
    return line


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_npy_in_catalogue_order(items, tmp_path: Path) -> None:
    vectors = encode(items, path=saved(tmp_path / "e.npy", ROWS.astype(np.float64)))
    np.testing.assert_array_equal(vectors, ROWS)
    assert vectors.dtype == np.float32


def test_normalize_leaves_zero_rows(items, tmp_path: Path) -> None:
    vectors = encode(items, path=saved(tmp_path / "e.npy", ROWS), normalize=True)
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-7)


def test_ids_put_rows_in_order_and_may_hold_more_items(items, tmp_path: Path) -> None:
    path = saved(tmp_path / "e.npy", np.arange(8).reshape(4, 2))
    ids = tmp_path / "ids.txt"
    ids.write_text("2\nother\n0\n1\n", encoding="utf-8")
    np.testing.assert_array_equal(encode(items, path=path, ids=ids), [[4, 5], [6, 7], [0, 1]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
def test_safetensors(items, tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "e.safetensors"
    save_file({"embeddings": torch.from_numpy(ROWS).to(dtype)}, path)
    np.testing.assert_array_equal(encode(items, path=path), ROWS)


def test_safetensors_of_several_tensors(items, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    save_file({"text": torch.from_numpy(ROWS), "image": torch.zeros(3, 2)}, path)
    np.testing.assert_array_equal(encode(items, path=path, tensor="text"), ROWS)
    assert "image, text" in mistake(items, path=path)
    assert "did you mean 'text'?" in mistake(items, path=path, tensor="texts")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_values_that_are_no_finite_float32(items, tmp_path: Path, value: float) -> None:
    rows = ROWS.astype(np.float64)
    rows[2, 1] = value
    line = mistake(items, path=saved(tmp_path / "e.npy", rows))
    assert "1 rows" in line
    assert "row 2" in line


def test_a_wrong_count(items, tmp_path: Path) -> None:
    path = saved(tmp_path / "e.npy", ROWS[:2])
    assert mistake(items, path=path) == f"{path}: 2 rows, but the catalogue has 3 items"


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((3, 0)), np.zeros((3, 1, 1)), np.array([["a"]] * 3)])
def test_not_a_matrix_of_numbers(items, tmp_path: Path, array: np.ndarray) -> None:
    assert "expected a matrix of numbers" in mistake(items, path=saved(tmp_path / "e.npy", array))


def test_pickles_are_refused(items, tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    path.write_bytes(pickle.dumps(ROWS))
    assert "cannot be read" in mistake(items, path=path)
    np.save(path, np.array([[object()]]), allow_pickle=True)
    assert "cannot be read" in mistake(items, path=path)


@pytest.mark.parametrize("name", ["e.npy", "e.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01nonsense"])
def test_damaged_files(items, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert mistake(items, path=path).startswith(f"{path}: cannot be read")


def test_a_cut_npy_file(items, tmp_path: Path) -> None:
    path = saved(tmp_path / "e.npy", ROWS)
    path.write_bytes(path.read_bytes()[:-4])
    assert "cannot be read" in mistake(items, path=path)


def test_missing_and_foreign_files(items, tmp_path: Path) -> None:
    assert "no such file" in mistake(items, path=tmp_path / "e.npy")
    (tmp_path / "e.csv").write_text("1,2")
    assert "expected a .npy or a .safetensors file" in mistake(items, path=tmp_path / "e.csv")
    path = saved(tmp_path / "e.npy", ROWS)
    assert "no such file" in mistake(items, path=path, ids=tmp_path / "ids.txt")


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (b"0\n1\n", "2 ids, but"),
        (b"0\n1\n1\n", ":3: item '1' stands on line 2 already"),
        (b"0\n1\n5\n", "1 of 3 items of the catalogue have no row, the first is '2'"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"", "is empty"),
    ],
)
def test_bad_ids(items, tmp_path: Path, ids: bytes, said: str) -> None:
    (tmp_path / "ids.txt").write_bytes(ids)
    assert said in mistake(items, path=saved(tmp_path / "e.npy", ROWS), ids=tmp_path / "ids.txt")


@pytest.mark.parametrize("begin", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_ids_as_editors_save_them(items, tmp_path: Path, begin: bytes, end: bytes) -> None:
    path = saved(tmp_path / "e.npy", np.arange(6).reshape(3, 2))
    (tmp_path / "ids.txt").write_bytes(begin + end.join([b"1", b"0", b"2", b""]))
    vectors = encode(items, path=path, ids=tmp_path / "ids.txt")
    np.testing.assert_array_equal(vectors, [[2, 3], [0, 1], [4, 5]])


@pytest.mark.parametrize("ids", [["0", "2", "1"], ["0", "1", "10"], ["B01", "B00", "B02"], ["x", "y", "z"]])
def test_rows_need_ids_where_the_catalogue_has_its_own_order(items, tmp_path: Path, ids: list[str]) -> None:
    path = saved(tmp_path / "e.npy", ROWS)
    assert "'ids' is missing" in mistake(items.with_columns(id=pl.Series(ids)), path=path)
    for counted in (["0", "1", "2"], ["item-00", "item-01", "item-02"]):
        np.testing.assert_array_equal(encode(items.with_columns(id=pl.Series(counted)), path=path), ROWS)
