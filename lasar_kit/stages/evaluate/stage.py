"""Leave-one-out evaluation over the whole catalogue, beside popularity and item-KNN (paper appendix C)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core import metrics
from lasar_kit.core.dataset import Dataset
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import DepthPolicy
from lasar_kit.core.values import Env, Prompt
from lasar_kit.data.held_out import HeldOut
from lasar_kit.data.stage_context import StageContext
from lasar_kit.model.depth import depth_at, forced_depth, greedy_depth
from lasar_kit.model.precision import autocast
from lasar_kit.model.ranking import (
    Ranking,
    batches_of_users,
    rank_users,
    target_ranks,
    with_sharers,
    without_history,
)
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.evaluate import baselines
from lasar_kit.stages.evaluate.config import EvaluateConfig
from lasar_kit.store.artifacts import write_json
from lasar_kit.store.layout import METRICS, PREDICTIONS


class EvaluateStage:
    """Ranks the catalogue for every user, the model's way and the baselines'."""

    def __init__(self, config: EvaluateConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write `metrics.json` and `predictions.jsonl`; the report is the metrics."""
        dataset = context.dataset()
        held_out = HeldOut.of(dataset, self.config.split, self.config.max_users, context.spec.seed)
        accelerator = Accelerator()
        recommender = Recommender.load(
            context.inputs["checkpoint"],
            context.catalogue,
            self.config.decoder or context.spec.decoder,
            context.sids(),
            context.env(device=str(accelerator.device)),
        )
        recommender.choose_depth = self._depth_rule(context.spec.seed, held_out, accelerator)
        ranking = self._rank(recommender, held_out, accelerator, context)
        if not accelerator.is_main_process:
            return {}
        found = target_ranks(ranking.items, held_out.target, recommender.prompts.table)
        report = self._metrics(ranking, *found, held_out, dataset)
        write_json(context.folder / METRICS, report)
        _write_predictions(context.folder / PREDICTIONS, dataset, held_out, ranking, *found, self.config.keep)
        return report

    def _depth_rule(
        self, seed: int, held_out: HeldOut, accelerator: Accelerator
    ) -> Callable[[DepthPolicy, Prompt], Tensor]:
        """Inference takes the most probable depth; a draw and a forced one are for study (Figure 4)."""
        if self.config.depth == "argmax":
            return greedy_depth
        if self.config.depth == "sample":
            batches = batches_of_users(held_out.histories, self.config.batch_size)
            dealt = batches[accelerator.process_index :: accelerator.num_processes]
            mine = [int(user) for batch in dealt for user in batch]
            draws, seen = RowDraws(f"evaluate {seed}", mine, len(held_out.users)).uniform(1), 0

            def sample(policy: DepthPolicy, prompt: Prompt) -> Tensor:
                nonlocal seen
                seen += len(prompt.h0)
                return depth_at(policy, prompt, draws[seen - len(prompt.h0) : seen])[0]

            return sample
        return partial(forced_depth, k=self.config.depth)

    def _rank(
        self,
        recommender: Recommender,
        held_out: HeldOut,
        accelerator: Accelerator,
        context: StageContext,
    ) -> Ranking:
        width = (self.config.decoder or context.spec.decoder).width
        progress = context.screen.progress(context.name, len(held_out.users))
        with autocast(accelerator.device, self.config.precision), progress as tick:
            ranking = rank_users(
                recommender, held_out.histories, width, self.config.batch_size, accelerator, tick
            )
        ranking = with_sharers(ranking, recommender.prompts.table)
        return without_history(ranking, held_out.histories) if self.config.exclude_history else ranking

    def _metrics(
        self,
        ranking: Ranking,
        ranks: Int[np.ndarray, " U"],
        ties: Int[np.ndarray, " U"],
        held_out: HeldOut,
        dataset: Dataset,
    ) -> dict[str, Any]:
        """The model's row and, asked for the same users, those of the baselines."""
        return {
            **({"label": self.config.label} if self.config.label else {}),
            "users": len(held_out.users),
            **metrics.summary(ranks, ties),
            "short_lists": int(((ranking.items >= 0).sum(1) < max(metrics.CUTOFFS)).sum()),
            "mean_depth": float(ranking.depth.mean()),
            **_by_depth(ranking.depth, ranks, ties),
            "baselines": self._baselines(held_out, dataset, ranking.items.shape[1]),
        }

    def _baselines(self, held_out: HeldOut, dataset: Dataset, width: int) -> dict[str, dict[str, float]]:
        """Fitted on the training part, which is all that any stage trains on."""
        rows = {}
        for name, baseline in (("popularity", baselines.Popularity), ("item_knn", baselines.ItemKnn)):
            fitted = baseline(dataset.train, len(dataset.items))
            items = baselines.rank(fitted, held_out.histories, width, self.config.exclude_history)
            rows[name] = metrics.summary(*target_ranks(items, held_out.target))
        return rows


def _by_depth(
    depth: Int[np.ndarray, " U"], ranks: Int[np.ndarray, " U"], ties: Int[np.ndarray, " U"]
) -> dict[str, Any]:
    """For each depth that was chosen: how many users, and their HR and NDCG (Figures 4b and 5b)."""
    if not depth.any():
        return {}
    rows = {}
    for value in np.unique(depth).tolist():
        chosen = depth == value
        rows[str(value)] = {"users": int(chosen.sum()), **metrics.summary(ranks[chosen], ties[chosen])}
    return {"by_depth": rows}


def _write_predictions(
    path: Path,
    dataset: Dataset,
    held_out: HeldOut,
    ranking: Ranking,
    ranks: Int[np.ndarray, " U"],
    ties: Int[np.ndarray, " U"],
    keep: int,
) -> None:
    """A line a user: raw ids of the target and of the first `keep` ranked items, their log-probabilities, the
    depth; the target's rank in the whole list, 0 for none, and how many items share its place."""
    ids: Sequence[str] = dataset.items["id"].to_list()
    with path.open("w", encoding="utf-8") as file:
        for row, (user, target) in enumerate(zip(held_out.users, held_out.target, strict=True)):
            shown = _shown(ranking.items[row], keep)
            line = {
                "user": dataset.users[user],
                "target": ids[target],
                "rank": int(ranks[row]),
                "ties": int(ties[row]),
                "items": [ids[item] for item in ranking.items[row, shown]],
                "scores": [round(float(score), 6) for score in ranking.scores[row, shown]],
                "depth": int(ranking.depth[row]),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _shown(items: Int[np.ndarray, " W"], keep: int) -> Int[np.ndarray, " k"]:
    return np.flatnonzero(items >= 0)[:keep]
