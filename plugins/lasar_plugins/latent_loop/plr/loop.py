"""Parallel latent reasoning (PLR, Tang et al. 2026, arXiv:2601.03153).

Streams k = 1 .. K begin at the prompt's last state plus a learned trigger, h_0^k = h + tau_k; thought t of
a stream is fed h_{t-1}^k + p_t and sees the prompt and its own stream alone: K branches of the token tree
behind one reading of the prompt. A stream is the mean of its thoughts, streams are mixed by a gate,
softmax(W h), and the answer's states are the model's own (thinking fast) plus the mixed streams (slow).
Written after the abstract and what others report of the paper; that fast and slow are added up with equal
weight is ours. Its contrast of two noisy passes is the objective `rearec_prl` with `progressive: 0`.
"""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Int
from torch import Tensor, nn

from lasar_kit.core.feedback import StepEmbedding, added_between, fed_norm, read_behind, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_plugins.latent_loop.plr.config import PlrConfig

MIXED = {
    "thoughts_are_states_of_the_backbone": "a thought is the mixture of those of the streams",
    "last_is_the_state_at_the_tip": "the answer's state is a sum of states",
    "many_tokens_and_thoughts_are_as_few": "the answer's state is a sum of states",
}


class PlrLoop(nn.Module):
    """`trace.states` are the streams' thoughts as the gate mixes them, `trace.streams` each stream's own."""

    transparent = False

    def __init__(self, config: PlrConfig, env: Env) -> None:
        super().__init__()
        self.config, width = config, env.hidden_size
        self.positions = StepEmbedding(width, env.seed)
        # Salted: with the bare seed these would be multiples of the first weights that a backbone draws.
        generator = torch.Generator().manual_seed(zlib.crc32(f"plr {env.seed}".encode()))
        drawn = torch.randn(2, config.streams, width, generator=generator)
        self.triggers = nn.Parameter(0.02 * drawn[0])
        self.gate = nn.Parameter(0.02 * drawn[1])
        self.contract_exceptions = MIXED

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think in all streams; a branch of depth 0 answers as if without a loop."""
        rows, branches, width = prompt.h0.shape
        norm = fed_norm(backbone, self.config.feedback_scale)
        count = self.config.streams
        kind = prompt.h0.dtype
        state = (prompt.h0[:, :, None] + self.triggers.to(kind)).flatten(1, 2)
        node, context, thoughts = prompt.tip.repeat_interleave(count, dim=1), prompt.context, []
        for step in range(steps):
            fed = (state if norm is None else rescale(state, norm)) + self.positions(step).to(kind)
            state, node, context = read_behind(backbone, fed, node, context)
            thoughts.append(state.view(rows, branches, count, width))
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        none = prompt.h0.new_zeros(rows, branches, count, 0, width)
        streams = torch.stack(thoughts, dim=3) if thoughts else none
        shares = (prompt.h0.to(self.gate.dtype) @ self.gate.T).softmax(-1).to(kind)
        mixed = (shares[..., None, None] * streams).sum(2)
        slow = torch.where(mask[..., None], mixed, 0.0).sum(2) / depth[..., None].clamp_min(1).to(kind)
        return LatentTrace(
            mixed,
            mask,
            prompt.h0 + slow,
            prompt.tip,
            prompt.context,
            between=added_between(slow),
            streams=streams,
        )
