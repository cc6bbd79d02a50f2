"""L_align: thoughts held to the hidden states of written reasoning (paper section 2.3, Eq. 4)."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from lasar_kit.core.capabilities import SkipsBranches, aligned
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.align.config import AlignConfig


class Align(nn.Module):
    """The mean of an aligner's loss over the prompts that have reasoning, less those that it leaves out."""

    def __init__(self, config: AlignConfig, env: Env) -> None:
        super().__init__()
        assert env.build is not None
        self.aligner = env.build("aligner", config.aligner, env)
        self.skips = isinstance(self.aligner, SkipsBranches) and self.aligner.skips
        self.needs: tuple[str, ...] = ("anchors", "depth") if self.skips else ("anchors",)

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts with reasoning that the aligner holds to it."""
        return int(self._held(lesson).sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The aligner's losses; the mask is all that is read of prompts it leaves out."""
        assert view.lesson.anchors is not None
        loss: Tensor = self.aligner.loss(view.trace, view.lesson.anchors)[view.lesson.labelled].sum()
        return loss

    def _held(self, lesson: Lesson) -> Bool[Tensor, "B R"]:
        if not self.skips:
            return lesson.labelled
        assert lesson.anchors is not None
        assert lesson.depth is not None, "depths are settled before prompts are counted"
        segments = lesson.anchors.mask.sum(-1)
        return lesson.labelled & aligned(self.aligner, lesson.depth, segments)
