"""Who asks is told to the backbone: in training, validation, evaluation and recommending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.lesson import Prompts
from lasar_kit.data import stored_dataset
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.spec import load_spec
from tests.small import SHOP

SPEC = (
    SHOP
    + """
stages:
  ground: {epochs: 1}
  anchors: null
  reason: {samples: longest_per_user, aligner: none, depth: policy, eval_users: 0}
  rl: {max_samples: 32, align_weight: 0}
"""
)
Read = list[tuple[list[int], list[int], bool]]


@pytest.fixture(scope="module")
def read() -> Any:
    """What recommenders read: the users, the tokens of each chain, and whether in training."""
    seen: Read = []
    with pytest.MonkeyPatch.context() as patched:
        own = Recommender.read

        def spied(self: Recommender, prompts: Prompts) -> Any:
            assert prompts.users is not None
            for user, ids, length in zip(prompts.users.tolist(), prompts.ids, prompts.lengths, strict=True):
                chain = ids[len(ids) - length + len(self.prompts.head) :].tolist()
                seen.append((user, chain, torch.is_grad_enabled()))
            return own(self, prompts)

        patched.setattr(Recommender, "read", spied)
        yield seen


@pytest.fixture(scope="module")
def run(read: Read, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, catalogue = tmp_path_factory.mktemp("users"), Catalogue.discover()
    (folder / "s.yaml").write_text(SPEC)
    runner.run_spec(load_spec(folder / "s.yaml", (), catalogue), catalogue, folder / "run", True)
    return folder / "run"


def spelled(model: LoadedRun, user: int) -> list[int]:
    table = model.recommender.prompts.tokens
    return table[model.dataset.sequences[user]].flatten().tolist()  # type: ignore[no-any-return]


def test_each_chain_is_a_piece_of_its_users_own_sequence(run: Path, read: Read) -> None:
    model, seen = LoadedRun.load(run, Catalogue.discover()), list(read)
    whole = [spelled(model, user) for user in range(60)]
    strings = [" ".join(["", *map(str, ids), ""]) for ids in whole]
    assert all(" ".join(["", *map(str, chain), ""]) in strings[user] for user, chain, _ in seen)
    # A chain mostly tells its user, so that a wrong one would have been seen.
    others = [sum(" ".join(["", *map(str, chain), ""]) in one for one in strings) for _, chain, _ in seen]
    assert np.median(others) == 1
    for learns in (True, False):
        assert {user for user, _, training in seen if training == learns} == set(range(60))


def test_a_user_by_name_and_one_that_nobody_knows(run: Path, read: Read) -> None:
    model = LoadedRun.load(run, Catalogue.discover())
    users = [stored_dataset.load(run / "stages" / "dataset").users[7], "nobody"]
    items = [model.dataset.items["id"][row] for row in (3, 4)]
    del read[:]
    model.rank([items, items], users=users)
    assert [user for user, *_ in read] == [7, -1]
