"""The training machinery for a stage of one's own, out of rooms that plugins do not see.

`Training` brings batches, validation, patience, checkpoints, resuming, several processes and hooks; a stage
says what an update is. Its options are a `TrainingConfig`, which reads the data set and semantic IDs, goes on
from a checkpoint if there is one, and leaves one. Here the state behind a history is to be like the item that
came next:

    class Step(nn.Module):
        def __init__(self, recommender: Recommender) -> None:
            super().__init__()
            self.recommender = recommender

        def forward(self, batch: tuple[Prompts, Tensor]) -> Sums:
            prompts, target = batch
            items = self.recommender.backbone.embed(self.recommender.prompts.table.tokens).mean(dim=1)
            scores = self.recommender.read(prompts).h0[:, 0] @ items.T
            return Sums({"next": cross_entropy(scores, target, reduction="sum")})

    class Pretraining(Training):
        def __init__(self, config, context, dataset, windows, accelerator, recommender) -> None:
            super().__init__(config, context, dataset, windows, accelerator, recommender)
            self.updater = Updater(accelerator, Step(recommender), config.optimizer, self.updates)

        def update(self, windows: Sequence[Window]) -> tuple[Update, Mapping[str, float]]:
            mine, weight = self.share(windows)
            rows = [window.of(self.train) for window in mine]
            prompts = self.recommender.prompts.prompts([row[:-1] for row in rows])
            target = torch.tensor([int(row[-1]) for row in rows])
            terms = {"next": Term(1.0, len(windows))}
            return self.updater.update([(lambda: (prompts, target), weight)], terms), {}

    class PretrainingStage:
        def __init__(self, config: TrainingConfig, env: Env) -> None:
            self.config = config

        def run(self, context: StageContext) -> Mapping[str, Any]:
            accelerator, dataset = training_processes(context.spec.seed), context.dataset()
            windows = sliding(dataset.train, context.spec.max_history)
            recommender = begin(context, str(accelerator.device))
            return Pretraining(self.config, context, dataset, windows, accelerator, recommender).run()

`Window` and `sliding` are of `lasar_kit.core.samples`, `Prompts` of `lasar_kit.core.lesson`. Names are
imported when they are first used: a module of options may take `TrainingConfig` from here without importing
torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lasar_kit.data.anchor_store import AnchorStore
    from lasar_kit.data.held_out import HeldOut
    from lasar_kit.data.sids import Sids
    from lasar_kit.data.stage_context import Stage, StageContext
    from lasar_kit.model.answers import AnswerScorer
    from lasar_kit.model.prompts import PromptBuilder
    from lasar_kit.model.recommender import Recommender
    from lasar_kit.train.alignment import build_aligner, objective_env
    from lasar_kit.train.config import OptimizerConfig, TrainingConfig
    from lasar_kit.train.loop import Training
    from lasar_kit.train.start import begin
    from lasar_kit.train.updater import Sums, Term, Update, Updater, training_processes

__all__ = [
    "AnchorStore",
    "AnswerScorer",
    "HeldOut",
    "OptimizerConfig",
    "PromptBuilder",
    "Recommender",
    "Sids",
    "Stage",
    "StageContext",
    "Sums",
    "Term",
    "Training",
    "TrainingConfig",
    "Update",
    "Updater",
    "begin",
    "build_aligner",
    "objective_env",
    "training_processes",
]


OPTIONS = ("OptimizerConfig", "TrainingConfig")
"""The names that come without torch."""


def _options() -> dict[str, Any]:
    from lasar_kit.train.config import OptimizerConfig, TrainingConfig

    return {part.__name__: part for part in (OptimizerConfig, TrainingConfig)}


def _everything() -> dict[str, Any]:
    """All other names, by statements that the keys of stages can follow."""
    from lasar_kit.data.anchor_store import AnchorStore
    from lasar_kit.data.held_out import HeldOut
    from lasar_kit.data.sids import Sids
    from lasar_kit.data.stage_context import Stage, StageContext
    from lasar_kit.model.answers import AnswerScorer
    from lasar_kit.model.prompts import PromptBuilder
    from lasar_kit.model.recommender import Recommender
    from lasar_kit.train.alignment import build_aligner, objective_env
    from lasar_kit.train.loop import Training
    from lasar_kit.train.start import begin
    from lasar_kit.train.updater import Sums, Term, Update, Updater, training_processes

    data, model = (
        (AnchorStore, HeldOut, Sids, Stage, StageContext),
        (AnswerScorer, PromptBuilder, Recommender),
    )
    train = (Sums, Term, Training, Update, Updater, begin, build_aligner, objective_env, training_processes)
    return {part.__name__: part for part in (*data, *model, *train)}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return (_options() if name in OPTIONS else _everything())[name]
