"""Validation between epochs: which checkpoint is kept, and when training stops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from lasar_kit import metrics
from lasar_kit.engine.heldout import HeldOut
from lasar_kit.engine.ranking import rank_users, target_ranks, with_sharers
from lasar_kit.engine.recommender import Recommender

SELECTED_BY = "ndcg@10"


@dataclass
class BestCheckpoint:
    """Keeps the checkpoint with the best validation NDCG@10 in `folder`; runs out of patience.

    `patience` counts validations without a better one; 0 never stops. Each thought costs `depth_cost` of
    NDCG@10. Files that are `shared` with a checkpoint of training are left to it, not written over.
    """

    folder: Path
    held_out: HeldOut
    width: int
    batch_size: int
    patience: int
    depth_cost: float = 0.0
    best: float = -1.0
    best_score: float = -math.inf
    waited: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    shared: set[Path] = field(default_factory=set)

    @property
    def out_of_patience(self) -> bool:
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON; the files in `folder` belong to it."""
        return {name: getattr(self, name) for name in ("best", "best_score", "waited", "history")}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, value in state.items():
            setattr(self, name, value)

    def validate(self, recommender: Recommender, accelerator: Accelerator, update: int) -> dict[str, float]:
        """Rank the validation items; write the checkpoint if it is the best so far."""
        ranking = rank_users(recommender, self.held_out.histories, self.width, self.batch_size, accelerator)
        table = recommender.prompts.table
        items = with_sharers(ranking, table).items
        values = metrics.summary(*target_ranks(items, self.held_out.target, table), cutoffs=(10,))
        if ranking.depth.any():
            values["depth"] = float(ranking.depth.mean())
        score = values[SELECTED_BY] - self.depth_cost * float(ranking.depth.mean())
        better = score > self.best_score
        if better:
            self.best, self.best_score, self.waited = values[SELECTED_BY], score, 0
            if accelerator.is_main_process:
                while self.shared:
                    self.shared.pop().unlink(missing_ok=True)
                recommender.save(self.folder)
        else:
            self.waited += 1
        self.history.append({"update": update, **values})
        return values
