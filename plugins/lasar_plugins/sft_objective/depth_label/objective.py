"""L_policy: the cross-entropy of the depth policy with the number of segments (paper section 2.3)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.depth import nearest_choice
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.depth_label.config import DepthLabelConfig


class DepthLabel:
    """The mean over the prompts with a label, clipped to what the policy can choose."""

    needs: tuple[str, ...] = ("anchors",)

    def __init__(self, config: DepthLabelConfig, env: Env) -> None:
        pass

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts with a label."""
        return int(lesson.labelled.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Cross-entropies; of a policy with one choice alone they are 0."""
        assert view.lesson.label is not None
        labelled, policy = view.lesson.labelled, view.depth_policy
        logits = policy.logits(view.prompt)[labelled].float()
        choice = nearest_choice(policy, view.lesson.label[labelled])
        return F.cross_entropy(logits, choice, reduction="sum")
