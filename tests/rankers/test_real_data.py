"""Known numbers of real data: leave-one-out test of all users, fitted on the training part."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import ITEM_COLUMNS, Sequences
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT
from lasar_kit.core.values import Env
from lasar_kit.data.held_out import HeldOut
from lasar_kit.stages.evaluate.beside import ask
from lasar_kit.stages.evaluate.placed import summary

SIZES = {"Beauty": 12_101, "Scientific": 4_344}
KNOWN: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {
    ("Beauty", "popularity"): {HISTORY_OUT: (0.0115, 0.0055), HISTORY_IN: (0.0114, 0.0053)},
    ("Beauty", "item_knn"): {HISTORY_OUT: (0.0648, 0.0395), HISTORY_IN: (0.0582, 0.0333)},
    ("Beauty", "item_knn_directed"): {HISTORY_OUT: (0.0797, 0.0500), HISTORY_IN: (0.0726, 0.0432)},
    ("Scientific", "popularity"): {HISTORY_OUT: (0.0245,)},
    ("Scientific", "item_knn"): {HISTORY_OUT: (0.0976, 0.0715)},
    ("Scientific", "item_knn_directed"): {HISTORY_OUT: (0.1119, 0.0822), HISTORY_IN: (0.1051, 0.0716)},
}
"""HR@10 and NDCG@10, to the fourth digit."""


@pytest.mark.parametrize("name", SIZES)
def test_known_numbers(real_data: Path, name: str) -> None:
    stored = json.loads((real_data / name.lower() / f"{name}.inter.json").read_text())
    sequences = Sequences.of([stored[str(user)] for user in range(len(stored))])
    rows = [sequences[user] for user in range(len(sequences))]
    held_out = HeldOut(np.arange(len(rows)), [row[:-1] for row in rows], np.array([row[-1] for row in rows]))
    items = pl.DataFrame({column: [str(item) for item in range(SIZES[name])] for column in ITEM_COLUMNS})
    catalogue = Catalogue.discover()
    for use in ("random", *(ranker for data, ranker in KNOWN if data == name)):
        config = catalogue.config_class("ranker", use).model_validate({"use": use})
        ranker: Any = catalogue.build("ranker", config, Env())
        ranker.fit(sequences.first(sequences.lengths - 2), items)
        found = ask(ranker, use, held_out, items.height)
        for protocol, known in KNOWN.get((name, use), {}).items():
            row = summary(found[protocol])
            assert [round(row[key], 4) for key in ("hr@10", "ndcg@10")][: len(known)] == list(known), use
        if use == "random":
            assert summary(found[HISTORY_IN])["hr@10"] == pytest.approx(10 / items.height)
