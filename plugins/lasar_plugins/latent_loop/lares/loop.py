"""Depth-recurrent reasoning over all positions (LARES, Liu et al. 2025, arXiv:2505.16865, section 3.2).

T_i = C(LN(f(T_{i-1}, H))) with H = A(E + P) and T_0 noise: the states of *all* of a prompt's tokens are
refined at every step, not those of one more token. Here f is the sum, H are the states of the prompt as the
backbone has read it, and C is the backbone itself, so any can be looped; the authors' pre-block A and core
block C are layers of their own. Their alignment of trajectories and steps, and their RL, are left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.chains import follow_inputs
from lasar_kit.core.feedback import at_depth
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_plugins.latent_loop.lares.config import LaresConfig


class LaresLoop(nn.Module):
    """Step i is a chain of its own in the token tree, as long as the prompt, and thought i its last state.

    The answer hangs on the chain of a branch's own last step; a branch of depth 0 answers behind its prompt.
    A prompt's tail that stands on a branch of its own is read again there.
    """

    transparent = False

    def __init__(self, config: LaresConfig, env: Env) -> None:
        super().__init__()
        self.noise = config.noise
        self.norm = nn.LayerNorm(env.hidden_size)

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Refine all states `steps` times; each branch leaves at its own depth."""
        length = backbone.embedding_norm() / prompt.h0.shape[-1] ** 0.5
        real = torch.arange(prompt.states.shape[1], device=depth.device) >= prompt.first[:, None]
        parent = chain_parents(real)
        chain, tail = self._start(prompt.states), None if prompt.tail is None else self._start(prompt.tail)
        last, tips, context = [prompt.h0], [prompt.tip], prompt.context
        for _ in range(steps):
            first = context.length
            fed = self._fed(chain, prompt.states, length)
            chain, context = backbone.advance(fed, torch.where(parent < 0, -1, parent + first), context)
            index = prompt.ends[..., None].expand(-1, -1, chain.shape[-1])
            state, tip = chain.gather(1, index), prompt.ends + first
            if prompt.tail is not None and tail is not None:
                fed = self._fed(tail, prompt.tail, length)
                tail, node, context = follow_inputs(backbone, fed, tip, context)
                state, tip = tail[:, :, -1], node[..., -1]
            last.append(state)
            tips.append(tip)
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        own = torch.stack(last, dim=2)[:, :, 1:]
        return LatentTrace(own, mask, at_depth(last, depth), at_depth(tips, depth), context)

    def _start(self, states: Float[Tensor, "*S D"]) -> Float[Tensor, "*S D"]:
        """T_0; drawn from torch's global generator, as dropout is."""
        if self.training and self.noise:
            return self.noise * torch.randn_like(states)
        return torch.zeros_like(states)

    def _fed(
        self, before: Float[Tensor, "*S D"], first: Float[Tensor, "*S D"], length: Float[Tensor, ""]
    ) -> Float[Tensor, "*S D"]:
        """LN(T + H), as long as embeddings at first."""
        normed: Tensor = self.norm((before + first).to(self.norm.weight.dtype))
        return (normed * length).to(first.dtype)
