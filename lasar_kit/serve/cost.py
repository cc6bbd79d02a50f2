"""What it takes to answer a user: models of finished runs, timed in turn on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lasar_kit.data.held_out import HeldOut
from lasar_kit.serve.recommend import LoadedRun

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

USERS, BATCH, ROUNDS = 128, 32, 5


def milliseconds_a_user(
    runs: Mapping[str, Path], catalogue: Catalogue, batch_size: int = BATCH, users: int = USERS
) -> dict[str, float]:
    """Time to rank the catalogue for a user, by name: `users` of the test part, so many at once, the least of
    `ROUNDS` rounds in which the models take turns, so that whatever else the machine does meets all alike."""
    models = {name: LoadedRun.load(run, catalogue) for name, run in runs.items()}
    best: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        for name, model in models.items():
            histories = HeldOut.of(model.dataset, "test", users).histories
            began = time.perf_counter()
            model.rank_rows(histories, batch_size=batch_size)
            spent = 1000 * (time.perf_counter() - began) / len(histories)
            if number:  # the first round warms up
                best[name] = min(spent, best.get(name, spent))
    return best
