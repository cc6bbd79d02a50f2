"""One supervised training step, whole, behind one module's forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.interfaces import SftObjective
from lasar_kit.core.lesson import Lesson
from lasar_kit.core.scoring import Score
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.view import LessonView


@dataclass(frozen=True)
class SftResult:
    """A step's result: each objective's sum, by its name; or, where only that was asked, the depths."""

    sums: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    depth: Int[Tensor, "B R"] | None = None


class SftStep(nn.Module):
    """The terms of L_SFT (paper section 2.3): the objectives, each a sum over what it counts of a batch.

    All a step needs stands behind this one forward, so that a distributed wrapper around it synchronises
    every gradient exactly once.
    """

    def __init__(
        self, recommender: Recommender, score: Score, objectives: Mapping[str, SftObjective]
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self.objectives = dict(objectives)
        self.learning = nn.ModuleDict(
            {
                name.replace(".", "_"): objective
                for name, objective in objectives.items()
                if isinstance(objective, nn.Module)
            }
        )
        self.scorer = AnswerScorer(recommender.prompts.table, score, str(recommender.device))

    def forward(self, lesson: Lesson, choosing: bool = False) -> SftResult:
        """The objectives' sums, in float32; `choosing` asks for nothing but how long each prompt would be
        thought about."""
        view = LessonView(self.recommender, self.scorer, lesson)
        if choosing:
            return SftResult(depth=view.depth)
        # Samples of objectives' own are read first: in this order dropout has always been drawn.
        order = sorted(self.objectives, key=lambda name: name not in lesson.rows)
        return SftResult({name: self.objectives[name].loss(view.of(name)) for name in order})
