"""One supervised training step, whole, behind one module's forward."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lasar_kit.core.answers import AnswerScorer
from lasar_kit.core.scoring import Score
from lasar_kit.engine.prompts import PromptBatch
from lasar_kit.engine.recommender import Recommender


class SftStep(nn.Module):
    """Cross-entropy of the answers' SID tokens (paper: L_CE of L_SFT, answer tokens only).

    All a step needs stands behind this one forward, so that a distributed wrapper around it synchronises
    every gradient exactly once.
    """

    def __init__(self, recommender: Recommender, score: Score) -> None:
        super().__init__()
        self.recommender = recommender
        self.scorer = AnswerScorer(recommender.prompts.table, score, str(recommender.device))

    def forward(self, batch: PromptBatch) -> Float[Tensor, ""]:
        """Sum of the losses of all answer tokens of the batch, in float32."""
        assert batch.targets is not None
        states_nMD = self._answer_states(batch)[batch.mask]
        targets_nM = batch.targets[batch.mask]
        return -self.scorer.logp(self.recommender.backbone, states_nMD, targets_nM).sum()

    def _answer_states(self, batch: PromptBatch) -> Float[Tensor, "B R M D"]:
        """The states that predict each answer's M tokens."""
        assert batch.targets is not None
        levels = batch.targets.shape[-1]
        if batch.inline:
            chain_BLD, _ = self.recommender.read_chain(batch)
            at = batch.tips[..., None] + torch.arange(levels, device=batch.tips.device)
            # A masked prompt's tip is the last column; its answer positions are not there and not asked for.
            at = at.clamp(max=chain_BLD.shape[1] - 1)
            return chain_BLD[torch.arange(len(at), device=at.device)[:, None, None], at]
        prompt = self.recommender.read(batch)
        trace, _ = self.recommender.think(prompt)
        if levels == 1:
            return trace.last[:, :, None]
        fed, _, _ = self.recommender.follow(batch.targets[..., :-1], trace.tip, trace.context)
        return torch.cat([trace.last[:, :, None], fed], dim=2)
