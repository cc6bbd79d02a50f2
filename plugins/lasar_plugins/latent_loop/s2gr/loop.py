"""Stepwise reasoning (S2GR, Guo et al. 2026, arXiv:2601.18664): a thought before each token of a semantic ID.

`[prompt] thought [token 1] thought [token 2] ... thought [token M]` is one path of the tree; every token is
predicted by the thought before it, so that no level of the SID gets less computation than another. Written
after the paper's abstract and what others report of its method; the authors have published no code. What a
thinking token is fed is an option, since that is not told there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.feedback import StepEmbedding, at_depth, fed_norm, read_behind, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Between, Context, Env, LatentTrace, Prompt
from lasar_plugins.latent_loop.s2gr.config import S2grConfig


class S2grLoop(nn.Module):
    """Thinks `depth[b, r]` times behind the prompt, and as often behind each token of the branch's answers.

    Thought t of each place is fed h_{t-1} + p_t, h_0 being the state of the prompt's last token or of the
    answer's. A branch of depth 0 answers as if without a loop.
    """

    transparent = False

    def __init__(self, config: S2grConfig, env: Env) -> None:
        super().__init__()
        self.config = config
        self.positions = StepEmbedding(env.hidden_size, env.seed)

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think before the first token; the trace says how to think before the others."""
        states, nodes, context = self._think(backbone, prompt.h0, prompt.tip, prompt.context, steps)
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        return LatentTrace(
            torch.stack(states, dim=2)[:, :, 1:],
            mask,
            at_depth(states, depth),
            at_depth(nodes, depth),
            context,
            between=self._between(backbone, depth, steps),
        )

    def _between(self, backbone: Backbone, depth: Int[Tensor, "B R"], steps: int) -> Between:
        """The thoughts behind an answer's token, of which each branch has as many."""

        def between(
            state: Float[Tensor, "B N D"], node: Int[Tensor, "B N"], context: Context
        ) -> tuple[Float[Tensor, "B N D"], Int[Tensor, "B N"], Context]:
            own = depth.repeat_interleave(state.shape[1] // depth.shape[1], dim=1)
            states, nodes, context = self._think(backbone, state, node, context, steps)
            return at_depth(states, own), at_depth(nodes, own), context

        return between

    def _think(
        self,
        backbone: Backbone,
        state: Float[Tensor, "B N D"],
        node: Int[Tensor, "B N"],
        context: Context,
        steps: int,
    ) -> tuple[list[Float[Tensor, "B N D"]], list[Int[Tensor, "B N"]], Context]:
        """The states behind 0 to `steps` thoughts, and their nodes."""
        states, nodes = [state], [node]
        norm = fed_norm(backbone, self.config.feedback_scale)
        for step in range(steps):
            fed = self.positions(step).to(state.dtype).expand_as(state)
            if self.config.feeds == "state":
                fed = fed + (states[-1] if norm is None else rescale(states[-1], norm))
            state, node, context = read_behind(backbone, fed, nodes[-1], context)
            states.append(state)
            nodes.append(node)
        return states, nodes, context
