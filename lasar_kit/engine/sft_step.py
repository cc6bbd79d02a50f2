"""One supervised training step, whole, behind one module's forward."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lasar_kit.core.answers import AnswerScorer
from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.policy import greedy_depth, nearest_choice
from lasar_kit.core.scoring import Score
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import LatentTrace, Prompt
from lasar_kit.engine.prompts import PromptBatch
from lasar_kit.engine.recommender import Recommender


class SftStep(nn.Module):
    """The terms of L_SFT (paper section 2.3): L_CE of the answer tokens, L_align, L_policy.

    All a step needs stands behind this one forward, so that a distributed wrapper around it synchronises
    every gradient exactly once. `by_label`: training prompts are thought about for as many steps as their
    text has segments, those without text as long as the policy chooses.
    """

    def __init__(
        self, recommender: Recommender, score: Score, aligner: Aligner | None = None, by_label: bool = True
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self.aligner = aligner
        self.by_label = by_label
        self.scorer = AnswerScorer(recommender.prompts.table, score, str(recommender.device))

    def forward(self, batch: PromptBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Sums, in float32: `ce` over answer tokens, `align` and `policy` over prompts with a label, `text`
        over the tokens of texts."""
        assert batch.targets is not None
        targets_nM = batch.targets[batch.mask]
        text = {} if batch.text is None else {"text": self._text(batch.text)}
        if batch.inline:
            return {"ce": self._cross_entropy(self._inline_states(batch)[batch.mask], targets_nM), **text}
        prompt = self.recommender.read(batch)
        trace = self._think(prompt, batch)
        losses = {"ce": self._cross_entropy(self._answer_states(trace, batch)[batch.mask], targets_nM)}
        if batch.label is not None:
            labelled = batch.mask & (batch.label > 0)
            losses["policy"] = self._policy(prompt, batch.label, labelled)
            if self.aligner is not None and batch.anchors is not None:
                losses["align"] = self.aligner.loss(trace, batch.anchors)[labelled].sum()
        return losses | text

    def _text(self, ids: Int[Tensor, "T L"]) -> Float[Tensor, ""]:
        """Cross-entropy of every token of a text but its first, over the whole vocabulary."""
        backbone, real = self.recommender.backbone, ids >= 0
        states, _ = backbone.advance(backbone.embed(ids.clamp_min(0)), chain_parents(real), None)
        predicts = real[:, :-1]
        logits = backbone.logits(states[:, :-1][predicts]).float()
        return F.cross_entropy(logits, ids[:, 1:][predicts], reduction="sum")

    def _cross_entropy(
        self, states: Float[Tensor, "n M D"], targets: Int[Tensor, "n M"]
    ) -> Float[Tensor, ""]:
        return -self.scorer.logp(self.recommender.backbone, states, targets).sum()

    def _think(self, prompt: Prompt, batch: PromptBatch) -> LatentTrace:
        """Run the loop, each prompt at its own depth (method: N during SFT)."""
        policy = self.recommender.depth_policy
        with torch.no_grad():
            depth = greedy_depth(policy, prompt.h0)
            if self.by_label and batch.label is not None:
                label = torch.tensor(policy.support, device=depth.device)[nearest_choice(policy, batch.label)]
                depth = torch.where(batch.label > 0, label, depth)
        trace: LatentTrace = self.recommender.latent_loop.run(
            self.recommender.backbone, prompt, depth, int(depth.max())
        )
        return trace

    def _policy(
        self, prompt: Prompt, label: Int[Tensor, "B R"], labelled: Bool[Tensor, "B R"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the policy with the number of segments; of one choice alone it is 0."""
        policy = self.recommender.depth_policy
        logits = policy.logits(prompt.h0)[labelled].float()
        return F.cross_entropy(logits, nearest_choice(policy, label)[labelled], reduction="sum")

    def _answer_states(self, trace: LatentTrace, batch: PromptBatch) -> Float[Tensor, "B R M D"]:
        """The states that predict each answer's M tokens, behind the loop."""
        assert batch.targets is not None
        if batch.targets.shape[-1] == 1:
            return trace.last[:, :, None]
        fed, _, _ = self.recommender.follow(batch.targets[..., :-1], trace.tip, trace.context)
        return torch.cat([trace.last[:, :, None], fed], dim=2)

    def _inline_states(self, batch: PromptBatch) -> Float[Tensor, "B R M D"]:
        """The same where the answers stand in the chain itself."""
        assert batch.targets is not None
        chain_BLD, _ = self.recommender.read_chain(batch)
        at = batch.tips[..., None] + torch.arange(batch.targets.shape[-1], device=batch.tips.device)
        # A masked prompt's tip is the last column; its answer positions are not there and not asked for.
        at = at.clamp(max=chain_BLD.shape[1] - 1)
        return chain_BLD[torch.arange(len(at), device=at.device)[:, None, None], at]
