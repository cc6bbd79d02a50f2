"""The recurrent latent loop (paper section 2.2, Eq. 3; Algorithm 1 lines 4 to 8) on the token tree.

After Coconut (Hao et al. 2024, arXiv:2412.06769). `[prompt] <|lat_s|> thought 1 .. thought N [<|lat_e|>]` is
one path of the tree. Every branch runs `steps` thoughts, and its exit hangs on its own thought N: those after
it are leaves that nothing descends from, so the padding and masking of appendix E.1 need no code.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt
from lasar_kit.core.vocabulary import LATENT_END, LATENT_START
from lasar_plugins.latent_loop.coconut.config import CoconutConfig
from lasar_plugins.latent_loop.coconut.feedback import Projection, rescale


class CoconutLoop(nn.Module):
    """Thought t is fed h_{t-1} in place of a token embedding and yields h_t.

    h_0 is the state at `<|lat_s|>` or, by option, the prompt's last; a branch of depth 0 leaves from
    `<|lat_s|>`, and where its exit is fed h_N it is fed h_0. Full backpropagation through time, cached keys
    and values included, unless `detach` cuts the feedback.
    """

    transparent = False

    def __init__(self, config: CoconutConfig, env: Env) -> None:
        super().__init__()
        self.config = config
        self.projection = Projection(env.hidden_size) if config.feedback_scale == "projection" else None

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think `depth[b, r]` steps in each branch (see the interface); 0 is a depth like any other."""
        if depth.device.type == "cpu":  # elsewhere `gather` below refuses it, without waiting for the device
            assert int(depth.max()) <= steps, f"a depth of {int(depth.max())} in {steps} steps"
        rows, branches = prompt.tip.shape
        first, branch = prompt.context.length, torch.arange(branches, device=depth.device)
        norm = backbone.embedding_norm() if self.config.feedback_scale == "embedding_rms" else None
        h_BRD, context = self._read_token(backbone, LATENT_START, prompt.tip, prompt.context)
        start = h_BRD
        thoughts = [prompt.h0 if self.config.h0 == "prompt_last" else start]
        for step in range(steps):
            parent = (first + step * branches + branch).expand(rows, -1)
            inputs = self._as_input(thoughts[-1], norm)
            h_BRD, context = self._advance(backbone, inputs, parent, context)
            thoughts.append(h_BRD)
        h_BRTD = torch.stack(thoughts, dim=2)
        own = depth[..., None, None].expand(-1, -1, 1, h_BRTD.shape[-1])
        last, tip = h_BRTD.gather(2, own)[:, :, 0], first + depth * branches + branch
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        if self.config.exit == "direct":
            # Also where nothing was thought, the first answer token follows the node the second hangs on.
            last = torch.where(depth[..., None] == 0, start, last)
        else:
            node = context.length + branch.expand(rows, -1)
            if self.config.exit == "e_token":
                last, context = self._read_token(backbone, LATENT_END, tip, context)
            else:
                last, context = self._advance(backbone, self._as_input(last, norm), tip, context)
            tip = node
        return LatentTrace(h_BRTD[:, :, 1:], mask, last, tip, context)

    def _as_input(self, h: Float[Tensor, "B R D"], norm: Float[Tensor, ""] | None) -> Float[Tensor, "B R D"]:
        """Return the next slot's input in place of an embedding; `norm` is the norm to rescale to, if any."""
        if self.config.detach:
            h = h.detach()
        if self.projection is not None:
            fed: Tensor = self.projection(h)
            return fed
        return h if norm is None else rescale(h, norm)

    def _read_token(
        self, backbone: Backbone, token: str, parent: Int[Tensor, "B R"], past: Context
    ) -> tuple[Float[Tensor, "B R D"], Context]:
        """Read a latent token behind each parent."""
        index = backbone.tokenizer.convert_tokens_to_ids(token)
        assert backbone.tokenizer.convert_ids_to_tokens(index) == token, f"the tokenizer lacks {token}"
        return self._advance(backbone, backbone.embed(torch.full_like(parent, index)), parent, past)

    def _advance(
        self, backbone: Backbone, inputs: Float[Tensor, "B R D"], parent: Int[Tensor, "B R"], past: Context
    ) -> tuple[Float[Tensor, "B R D"], Context]:
        """`backbone.advance`, recomputed in the backward pass if so asked.

        `advance` leaves `past` as it was, so running it again gives the same. The checkpointing built into
        transformers would instead drop the cache, and with it the prompt.
        """
        if not (self.config.checkpoint and torch.is_grad_enabled()):
            return backbone.advance(inputs, parent, past)
        recomputed: Any = checkpoint(backbone.advance, inputs, parent, past, use_reentrant=False)
        state, context = recomputed
        return state, context
