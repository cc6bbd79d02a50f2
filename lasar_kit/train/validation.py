"""Validation between updates: what is measured, which checkpoint is kept, and when training stops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int

from lasar_kit.core import metrics
from lasar_kit.core.scoring import Score
from lasar_kit.data.held_out import HeldOut
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.model.precision import autocast
from lasar_kit.model.ranking import batches_of_users, rank_users, target_ranks, whole_lists
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import in_shares
from lasar_kit.spec.precision import Precision

SELECTED_BY = "ndcg@10"
REMEMBERED = ("best", "best_score", "best_update", "kept_update", "waited", "history")
"""Of `BestCheckpoint`, by a checkpoint of training."""


def answer_loss(recommender: Recommender, held_out: HeldOut, score: Score, batch_size: int) -> float:
    """Mean cross-entropy of the held-out items' tokens, in nats, at the depths that the policy chooses
    (the evaluation loss of the paper's Figure 3)."""
    asked = (held_out.histories, held_out.target, held_out.users)
    logp = answer_logp(recommender, *asked, score, batch_size)
    return -math.fsum(logp) / (len(logp) * recommender.prompts.table.tokens.shape[1])


def answer_logp(
    recommender: Recommender,
    histories: Sequence[Int[np.ndarray, " H"]],
    target: Int[np.ndarray, " U"],
    users: Int[np.ndarray, " U"],
    score: Score,
    batch_size: int,
) -> Float[np.ndarray, " U"]:
    """Log-probability of each target's tokens together, in nats, behind its history, at the depth that the
    policy chooses; all processes share in it."""
    scorer = AnswerScorer(recommender.prompts.table, score, str(recommender.device))
    training = recommender.training
    recommender.eval()

    @torch.inference_mode()
    def some(batch: Int[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        asked = [(histories[place], int(target[place])) for place in batch]
        lesson = recommender.prompts.answered(asked, users[batch].tolist()).to(recommender.device)
        prompt = recommender.read(lesson.prompts)
        trace = recommender.think(prompt, recommender.choose_depth(recommender.depth_policy, prompt))
        states = recommender.answer_states(trace, lesson.targets)
        logp = scorer.logp(recommender.backbone, states[:, 0], lesson.targets[:, 0])
        return logp.double().sum(-1).cpu().numpy()

    batches = batches_of_users(histories, batch_size)
    found = np.concatenate(in_shares(batches, some))
    recommender.train(training)
    return found[np.argsort(np.concatenate(batches))]


@dataclass
class BestCheckpoint:
    """Keeps the checkpoint with the best validation NDCG@10, or the last, in `folder`; runs out of patience.

    `patience` counts validations without a better one; 0 never stops. Each thought costs `depth_cost` of
    NDCG@10. Files that are `shared` with a checkpoint of training are left to it, not written over.
    """

    folder: Path
    held_out: HeldOut
    width: int
    batch_size: int
    patience: int
    score: Score
    depth_cost: float = 0.0
    precision: Precision = "fp32"
    keep: Literal["best", "last"] = "best"
    best: float = -1.0
    best_score: float = -math.inf
    best_update: int = 0
    kept_update: int = 0
    waited: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    shared: set[Path] = field(default_factory=set)

    @property
    def out_of_patience(self) -> bool:
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        """Return what it remembers, as JSON; the files in `folder` belong to it."""
        return {name: getattr(self, name) for name in REMEMBERED}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, value in state.items():
            setattr(self, name, value)

    def validate(
        self, recommender: Recommender, accelerator: Accelerator, update: int, counts: bool = True
    ) -> dict[str, float]:
        """Rank the validation items; write the checkpoint if it is the best so far, or the last is to be
        kept. One that does not count is looked at alone."""
        with autocast(accelerator.device, self.precision):
            ranking = rank_users(
                recommender,
                self.held_out.histories,
                self.width,
                self.batch_size,
                accelerator,
                users=self.held_out.users,
            )
            loss = answer_loss(recommender, self.held_out, self.score, self.batch_size)
        table = recommender.prompts.table
        items = whole_lists(ranking, table).items
        values = metrics.summary(*target_ranks(items, self.held_out.target, table), cutoffs=(10,))
        if ranking.depth.any():
            values["depth"] = float(ranking.depth.mean())
        values["loss"] = loss
        score = values[SELECTED_BY] - self.depth_cost * float(ranking.depth.mean())
        better = counts and score > self.best_score
        if better:
            self.best, self.best_score, self.waited = values[SELECTED_BY], score, 0
            self.best_update = update
        elif counts:
            self.waited += 1
        if better or (counts and self.keep == "last"):
            self._write(recommender, accelerator, update)
        self.history.append({"update": update, **values})
        return values

    def _write(self, recommender: Recommender, accelerator: Accelerator, update: int) -> None:
        self.kept_update = update
        if accelerator.is_main_process:
            while self.shared:
                self.shared.pop().unlink(missing_ok=True)
            recommender.save(self.folder)
