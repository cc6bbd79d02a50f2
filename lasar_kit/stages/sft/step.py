"""One supervised training step, whole, behind one module's forward."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.scoring import Score
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import LatentTrace, Prompt
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.model.depth import greedy_depth, nearest_choice
from lasar_kit.model.prompts import PromptBatch, TaskRows
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import world_max


class SftStep(nn.Module):
    """The terms of L_SFT (paper section 2.3): L_CE of the answer tokens, L_align, L_policy.

    All a step needs stands behind this one forward, so that a distributed wrapper around it synchronises
    every gradient exactly once.
    """

    def __init__(self, recommender: Recommender, score: Score, aligner: Aligner | None = None) -> None:
        super().__init__()
        self.recommender = recommender
        self.aligner = aligner
        self.scorer = AnswerScorer(recommender.prompts.table, score, str(recommender.device))

    def forward(
        self, batch: PromptBatch, choosing: bool = False
    ) -> Mapping[str, Float[Tensor, ""]] | Int[Tensor, "B R"]:
        """Sums, in float32: `ce` over answer tokens, `align` and `policy` over prompts with a label, and each
        task with texts, by its name, over its answer tokens.

        `choosing` asks for nothing but how long each prompt would be thought about.
        """
        if choosing:
            return self._depth(self.recommender.read(batch), batch)
        assert batch.targets is not None
        targets_nM = batch.targets[batch.mask]
        tasks = {name: self._task(rows) for name, rows in batch.tasks.items()}
        if batch.inline:
            return {"ce": self._cross_entropy(self._inline_states(batch)[batch.mask], targets_nM), **tasks}
        prompt = self.recommender.read(batch)
        trace = self._think(prompt, batch)
        states = self.recommender.answer_states(trace, batch.targets)
        losses = {"ce": self._cross_entropy(states[batch.mask], targets_nM)}
        if batch.label is not None:
            labelled = batch.mask & (batch.label > 0)
            losses["policy"] = self._policy(prompt, batch.label, labelled)
            if self.aligner is not None and batch.anchors is not None:
                losses["align"] = self.aligner.loss(trace, batch.anchors)[labelled].sum()
        return losses | tasks

    def _task(self, rows: TaskRows) -> Float[Tensor, ""]:
        """Cross-entropy of a task's answers: of SIDs by the scorer, of texts over the whole vocabulary."""
        backbone, real = self.recommender.backbone, rows.ids >= 0
        states, _ = backbone.advance(backbone.embed(rows.ids.clamp_min(0)), chain_parents(real), None)
        if rows.sid:
            levels = self.recommender.prompts.table.tokens.shape[1]
            logp = self.scorer.logp(backbone, states[:, -levels - 1 : -1], rows.ids[:, -levels:])
            return -logp[rows.answers > 0].sum()
        width = rows.ids.shape[1]
        asked = torch.arange(1, width, device=real.device) >= width - rows.answers[:, None]
        logits = backbone.logits(states[:, :-1][asked]).float()
        return F.cross_entropy(logits, rows.ids[:, 1:][asked], reduction="sum")

    def _cross_entropy(
        self, states: Float[Tensor, "n M D"], targets: Int[Tensor, "n M"]
    ) -> Float[Tensor, ""]:
        return -self.scorer.logp(self.recommender.backbone, states, targets).sum()

    def _think(self, prompt: Prompt, batch: PromptBatch) -> LatentTrace:
        """Run the loop, each prompt at its own depth."""
        depth = self._depth(prompt, batch)
        trace: LatentTrace = self.recommender.latent_loop.run(
            self.recommender.backbone, prompt, depth, world_max(depth)
        )
        return trace

    @torch.no_grad()
    def _depth(self, prompt: Prompt, batch: PromptBatch) -> Int[Tensor, "B R"]:
        """As given, and as the policy chooses where nothing is (method: N during SFT)."""
        policy = self.recommender.depth_policy
        depth = greedy_depth(policy, prompt.h0)
        if batch.depth is None:
            return depth
        given = torch.tensor(policy.support, device=depth.device)[nearest_choice(policy, batch.depth)]
        return torch.where(batch.depth > 0, given, depth)

    def _policy(
        self, prompt: Prompt, label: Int[Tensor, "B R"], labelled: Bool[Tensor, "B R"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the policy with the number of segments; of one choice alone it is 0."""
        policy = self.recommender.depth_policy
        logits = policy.logits(prompt.h0)[labelled].float()
        return F.cross_entropy(logits, nearest_choice(policy, label)[labelled], reduction="sum")

    def _inline_states(self, batch: PromptBatch) -> Float[Tensor, "B R M D"]:
        """The states that predict each answer's M tokens, where the answers stand in the chain itself."""
        assert batch.targets is not None
        chain_BLD, _ = self.recommender.read_chain(batch)
        at = batch.tips[..., None] + torch.arange(batch.targets.shape[-1], device=batch.tips.device)
        # A masked prompt's tip is the last column; its answer positions are not there and not asked for.
        at = at.clamp(max=chain_BLD.shape[1] - 1)
        return chain_BLD[torch.arange(len(at), device=at.device)[:, None, None], at]
