"""Validation between epochs: which checkpoint is kept, and when training stops."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from accelerate import Accelerator

from lasar_kit import metrics
from lasar_kit.engine.heldout import HeldOut
from lasar_kit.engine.ranking import rank_users, target_ranks, with_sharers
from lasar_kit.engine.recommender import Recommender

SELECTED_BY = "ndcg@10"


@dataclass
class BestCheckpoint:
    """Keeps the checkpoint with the best validation NDCG@10 in `folder`; runs out of patience.

    `patience` counts validations without a better one; 0 never stops.
    """

    folder: Path
    held_out: HeldOut
    width: int
    batch_size: int
    patience: int
    best: float = -1.0
    waited: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def out_of_patience(self) -> bool:
        return 0 < self.patience <= self.waited

    def validate(self, recommender: Recommender, accelerator: Accelerator, update: int) -> dict[str, float]:
        """Rank the validation items; write the checkpoint if it is the best so far."""
        ranking = rank_users(recommender, self.held_out.histories, self.width, self.batch_size, accelerator)
        table = recommender.prompts.table
        items = with_sharers(ranking, table).items
        values = metrics.summary(*target_ranks(items, self.held_out.target, table), cutoffs=(10,))
        if values[SELECTED_BY] > self.best:
            self.best, self.waited = values[SELECTED_BY], 0
            if accelerator.is_main_process:
                recommender.save(self.folder)
        else:
            self.waited += 1
        self.history.append({"update": update, **values})
        return values
