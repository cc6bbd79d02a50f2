"""The stage `towers`: the state behind a history is one tower, an item's mean token embedding the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.samples import Window, sliding
from lasar_kit.core.values import Env
from lasar_kit.training import (
    Recommender,
    StageContext,
    Sums,
    Term,
    Training,
    Update,
    Updater,
    begin,
    training_processes,
)
from lasar_towers.config import TowersConfig


class TowersStep(nn.Module):
    """The cross-entropy of the next item among all items, by cosines."""

    def __init__(self, recommender: Recommender, temperature: float) -> None:
        super().__init__()
        self.recommender, self.temperature = recommender, temperature

    def forward(self, batch: tuple[Prompts, Tensor]) -> Sums:
        prompts, target = batch
        tokens = self.recommender.prompts.table.tokens.to(target.device)
        items = normalize(self.recommender.backbone.embed(tokens).mean(dim=1), dim=-1)
        histories = normalize(self.recommender.read(prompts).h0[:, 0], dim=-1)
        scores = histories @ items.T / self.temperature
        return Sums({"towers": cross_entropy(scores.float(), target, reduction="sum")})


class TowersTraining(Training):
    """One term, a mean over the prompts of the global batch."""

    def __init__(
        self,
        config: TowersConfig,
        context: StageContext,
        dataset: Dataset,
        windows: Sequence[Window],
        accelerator: Accelerator,
        recommender: Recommender,
    ) -> None:
        super().__init__(config, context, dataset, windows, accelerator, recommender)
        step = TowersStep(recommender, config.temperature)
        self.updater = Updater(accelerator, step, config.optimizer, self.updates, config.precision)

    def update(self, windows: Sequence[Window]) -> tuple[Update, Mapping[str, float]]:
        """One optimiser step on this process's share of a global batch."""
        mine, weight = self.share(windows)
        rows = [self.train[window.user][window.places] for window in mine]
        device = self.accelerator.device
        prompts = self.recommender.prompts.prompts([row[:-1] for row in rows]).to(device)
        target = torch.tensor([int(row[-1]) for row in rows], device=device)
        self.updater.plain.train()
        terms = {"towers": Term(1.0, len(windows))}
        return self.updater.update([(lambda: (prompts, target), weight)], terms), {}


class TowersStage:
    """Trains until validation gets no better."""

    def __init__(self, config: TowersConfig, env: Env) -> None:
        self.config = config

    def run(self, context: StageContext) -> Mapping[str, Any]:
        """Write the best checkpoint; report how it was reached."""
        accelerator, dataset = training_processes(context.spec.seed), context.dataset()
        windows = sliding(dataset.train, context.spec.max_history)
        recommender = begin(context, str(accelerator.device))
        return TowersTraining(self.config, context, dataset, windows, accelerator, recommender).run()
