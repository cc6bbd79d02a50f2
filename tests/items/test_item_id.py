"""Codes that hold the item: alone, and behind semantic levels."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.run.runner import run_spec
from lasar_kit.spec import load_spec

ITEMS = pl.DataFrame({"id": ["x", "y", "z"]})
VECTORS = torch.tensor([[0.0, 1.0], [0.1, 1.0], [5.0, -2.0]])
SPEC = """
dataset: {use: csv, interactions: events.csv}
stages:
  tokenize: {use: tokenize, quantizer: item_id}
"""


def built(use: str, **options: object) -> object:
    catalogue = Catalogue.discover()
    config = catalogue.config_class("quantizer", use).model_validate(
        {"use": use, **options}, context={"catalogue": catalogue}
    )
    return catalogue.build("quantizer", config, Env(items=ITEMS))


def test_item_id_is_the_place_and_loses_nothing() -> None:
    quantizer = built("item_id")
    quantizer.fit(VECTORS)  # type: ignore[attr-defined]
    assert quantizer.sizes == (3,)  # type: ignore[attr-defined]
    codes = quantizer.encode(VECTORS)  # type: ignore[attr-defined]
    assert codes.tolist() == [[0], [1], [2]]
    assert torch.equal(quantizer.decode(codes), VECTORS)  # type: ignore[attr-defined]


def test_hybrid_has_the_semantic_levels_first_and_loses_nothing_behind_them() -> None:
    quantizer = built("hybrid", semantic={"use": "rq_kmeans", "levels": 1, "codes": 2})
    quantizer.fit(VECTORS)  # type: ignore[attr-defined]
    codes = quantizer.encode(VECTORS)  # type: ignore[attr-defined]
    assert quantizer.sizes == (2, 3)  # type: ignore[attr-defined]
    assert codes[0, 0] == codes[1, 0] != codes[2, 0]
    assert codes[:, 1].tolist() == [0, 1, 2]
    torch.testing.assert_close(quantizer.decode(codes), VECTORS)  # type: ignore[attr-defined]
    rough = quantizer.decode(codes[:, :1])  # type: ignore[attr-defined]
    torch.testing.assert_close(rough[0], VECTORS[:2].mean(0))


def test_a_catalogue_without_any_text_is_tokenised(tmp_path: Path) -> None:
    rows = ["user,item,time", *(f"u{u},{item},{t}" for u in range(2) for t, item in enumerate("xyzx"))]
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "spec.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    loaded = load_spec(tmp_path / "spec.yaml", (), catalogue)
    run_spec(loaded, catalogue, tmp_path / "run", use_cache=False)
    assert Sids.load(tmp_path / "run" / "stages" / "tokenize").codes.tolist() == [[0], [1], [2]]
