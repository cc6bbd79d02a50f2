"""Leave-one-out evaluation over the whole catalogue, beside rankers that need no model (paper appendix C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from lasar_kit.core.depth import depth_at, forced_depth, greedy_depth
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import DepthPolicy
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT, PROTOCOLS
from lasar_kit.core.places import Places
from lasar_kit.core.values import Env, Prompt
from lasar_kit.data.held_out import HeldOut
from lasar_kit.data.stage_context import StageContext
from lasar_kit.model.precision import autocast
from lasar_kit.model.ranking import Ranking, batches_of_users, rank_among, whole_lists, without
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.evaluate.beside import places_beside
from lasar_kit.stages.evaluate.cold import let_in
from lasar_kit.stages.evaluate.config import EvaluateConfig
from lasar_kit.stages.evaluate.placed import by_depth, in_own_history, placed, summary
from lasar_kit.stages.evaluate.predictions import write_beside, write_predictions
from lasar_kit.stages.evaluate.unchanged import unchanged
from lasar_kit.store.artifacts import write_json
from lasar_kit.store.layout import BESIDE, METRICS, PREDICTIONS


class EvaluateStage:
    """Ranks the catalogue for every user, the model's way and that of each ranker beside it."""

    def __init__(self, config: EvaluateConfig, env: Env) -> None:
        self.config = config

    @property
    def headline(self) -> str:
        """The protocol of the numbers on top, and of `predictions.jsonl`."""
        return HISTORY_OUT if self.config.exclude_history else HISTORY_IN

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write `metrics.json`, `predictions.jsonl` and `beside.parquet`; the report is the metrics."""
        dataset = context.dataset()
        held_out = HeldOut.of(dataset, self.config.split, self.config.max_users, context.spec.seed)
        accelerator = Accelerator()
        device = str(accelerator.device)
        # First, as a ranker that cannot be fitted must not be told of after the decoding.
        beside = places_beside(self.config.beside, dataset, held_out, context, device)
        recommender = Recommender.load(
            context.inputs["checkpoint"],
            context.catalogue,
            self.config.decoder or context.spec.decoder,
            context.sids(),
            context.env(device=device),
        )
        recommender.choose_depth = self._depth_rule(context.spec.seed, held_out, accelerator)
        most = context.spec.max_history
        lengths = [min(len(history), most) for history in held_out.histories]
        if line := recommender.prompts.cut_line(lengths):
            context.screen.print(f"  {line}")
        lists = self._rank(recommender, held_out, accelerator, context)
        apart = self._apart(recommender, held_out, accelerator, context)
        if not accelerator.is_main_process:
            return {}
        table, target = recommender.prompts.table, held_out.target
        places = {protocol: placed(ranking, target, table) for protocol, ranking in lists.items()}
        ranking, path = lists[self.headline], context.folder / PREDICTIONS
        report = self._metrics(ranking, places, beside, held_out) | apart | unchanged(context)
        if cut := recommender.prompts.cut(lengths):
            report["shortened_histories"] = round(cut, 6)
        write_json(context.folder / METRICS, report)
        write_predictions(path, dataset, held_out, ranking, places, self.headline, self.config.keep)
        write_beside(context.folder / BESIDE, [dataset.users[user] for user in held_out.users], beside)
        return report

    def _apart(
        self, recommender: Recommender, held_out: HeldOut, accelerator: Accelerator, context: StageContext
    ) -> dict[str, Any]:
        """Both kinds of users, asked once the items that were held out have come to the catalogue."""
        if self.config.cold is None:
            return {}
        asked = let_in(recommender, context)
        recommender.choose_depth = (
            greedy_depth if self.config.depth == "sample" else recommender.choose_depth
        )  # draws are dealt to the users of the first question
        groups = {"cold": asked.asked[self.config.split], "warm": held_out}
        told: dict[str, Any] = {"items": asked.items.height}
        for name, group in groups.items():
            lists = self._rank(recommender, group, accelerator, context) if len(group.users) else {}
            table = recommender.prompts.table
            numbers = {key: summary(placed(found, group.target, table)) for key, found in lists.items()}
            told[name] = {"users": len(group.users), **numbers}
        return {"cold": told}

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
    ) -> dict[str, Ranking]:
        """Lists under either protocol, each searched on its own behind one reading of the prompt."""
        limits = {HISTORY_IN: None, HISTORY_OUT: without(held_out.histories)}
        width = (self.config.decoder or context.spec.decoder).width
        progress = context.screen.progress(context.name, len(held_out.users))
        with autocast(accelerator.device, self.config.precision), progress as tick:
            found = rank_among(
                recommender,
                held_out.histories,
                list(limits.values()),
                width,
                self.config.batch_size,
                accelerator,
                tick,
                users=held_out.users,
            )
        table = recommender.prompts.table
        pairs = zip(limits.items(), found, strict=True)
        return {name: whole_lists(ranking, table, own) for (name, own), ranking in pairs}

    def _metrics(
        self,
        ranking: Ranking,
        places: Mapping[str, Places],
        beside: Mapping[str, Mapping[str, Places]],
        held_out: HeldOut,
    ) -> dict[str, Any]:
        """The model's row and those beside it under either protocol, and those of the headline on top."""
        unreachable, users = int(in_own_history(held_out).sum()), len(held_out.users)
        rows = {
            protocol: {name: summary(row) for name, row in found.items()}
            for protocol, found in beside.items()
        }
        protocols = {name: {**summary(places[name]), "baselines": rows[name]} for name in PROTOCOLS}
        protocols[HISTORY_OUT]["ceiling"] = 1.0 - unreachable / users
        headline = {name: value for name, value in protocols[self.headline].items() if name != "ceiling"}
        thinks = {"by_depth": by_depth(places[self.headline], ranking.depth)} if ranking.depth.any() else {}
        wrote = {} if ranking.words is None else {"mean_words": float(ranking.words.mean())}
        return {
            **({"label": self.config.label} if self.config.label else {}),
            "users": users,
            "exclude_history": self.config.exclude_history,
            "targets_in_history": unreachable,
            "mean_depth": float(ranking.depth.mean()),
            **wrote,
            **headline,
            **thinks,
            **protocols,
        }
