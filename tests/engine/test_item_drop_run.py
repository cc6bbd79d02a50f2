"""Items that training leaves out of its sequences, as the model is shown them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.data import stored_dataset
from lasar_kit.model.prompts import PromptBuilder
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from tests.small import SHOP

ONLY = "{use: sft, epochs: 2, text: {weight: 0}, eval_every: 2}"
PACKED = ("stages.ground.samples=packed", "stages.ground.pack_items=50", "stages.ground.item_drop=0.8")
REST = "stages: {ground: %s, anchors: null, reason: null, rl: null, evaluate: null}\n"


def train(folder: Path, *overrides: str) -> Sequences:
    """Train stage 1 of the shop alone; its training part."""
    (folder / "shop.yaml").write_text(SHOP + REST % ONLY)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "shop.yaml", overrides, catalogue), catalogue, folder / "run", False)
    return stored_dataset.load(folder / "run" / "stages" / "dataset").train


def is_part(few: np.ndarray, many: np.ndarray) -> bool:
    """Whether `few` is `many` without some of its items."""
    rest = iter(many.tolist())
    return all(item in rest for item in few.tolist())


def test_packed_sequences_lose_others_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[np.ndarray] = []
    packed = PromptBuilder.packed

    def spy(self: PromptBuilder, windows: Any, transparent: bool, users: Any = None) -> Any:
        shown.extend(windows)
        return packed(self, windows, transparent, users)

    monkeypatch.setattr(PromptBuilder, "packed", spy)
    part = train(tmp_path, *PACKED)
    users = [part[user] for user in range(len(part)) if len(part[user]) > 1]
    assert len(shown) == 2 * len(users)
    epochs = [sorted(map(tuple, shown[: len(users)])), sorted(map(tuple, shown[len(users) :]))]
    assert epochs[0] != epochs[1]
    for epoch in epochs:
        assert 0.4 < sum(map(len, epoch)) / sum(map(len, users)) < 0.9
        assert all(any(is_part(np.array(row), user) for user in users) for row in epoch)


def test_sliding_samples_keep_their_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[np.ndarray, int]] = []
    answered = PromptBuilder.answered

    def spy(self: PromptBuilder, samples: Any, users: Any = None) -> Any:
        shown.extend(samples)
        return answered(self, samples, users)

    monkeypatch.setattr(PromptBuilder, "answered", spy)
    part = train(tmp_path, "stages.ground.samples=sliding", "stages.ground.item_drop=0.8")
    users = [part[user] for user in range(len(part))]
    whole = [(user[max(0, stop - 6) : stop], user[stop]) for user in users for stop in range(1, len(user))]
    for epoch in (shown[: len(whole)], shown[len(whole) : 2 * len(whole)]):  # then comes validation
        assert sorted(answer for _, answer in epoch) == sorted(answer for _, answer in whole)
        assert min(len(history) for history, _ in epoch) == 1
        assert sum(len(history) for history, _ in epoch) < 0.9 * sum(len(history) for history, _ in whole)
