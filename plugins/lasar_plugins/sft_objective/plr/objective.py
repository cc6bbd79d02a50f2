"""The diversity of streams (PLR, Tang et al. 2026, arXiv:2601.03153).

The paper keeps streams apart by a global regularisation, whose form its abstract does not give: here it is
the mean cosine of every two streams.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.plr.config import PlrDiversityConfig


class PlrDiversity:
    """The mean over prompts of the mean over pairs of streams of their cosine, each the mean of its thoughts.

    A prompt that did not think, or in one stream alone, adds 0.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: PlrDiversityConfig, env: Env) -> None:
        pass

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over them."""
        trace = view.trace
        streams = trace.states[:, :, None] if trace.streams is None else trace.streams
        held = view.lesson.prompts.mask & trace.mask.any(-1)
        own = torch.where(trace.mask[:, :, None, :, None], streams, 0.0)[held].float()
        unit = normalize(own.sum(2), dim=-1)  # of a mean as of a sum
        count = unit.shape[1]
        other = ~torch.eye(count, dtype=torch.bool, device=unit.device)
        return (unit @ unit.mT)[:, other].sum() / max(1, count * (count - 1))
