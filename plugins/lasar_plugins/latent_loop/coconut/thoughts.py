"""Thoughts on the token tree: one token each, every branch a path of its own.

`[prompt] [start] thought 1 .. thought N [exit]` is one path of the tree. Every branch runs `steps` thoughts,
and its exit hangs on its own thought N: those after it are leaves that nothing descends from, so the padding
and masking of appendix E.1 need no code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lasar_kit.core.feedback import added_between
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt
from lasar_kit.core.vocabulary import LATENT_END, LATENT_START
from lasar_plugins.latent_loop.coconut.config import ThoughtConfig
from lasar_plugins.latent_loop.coconut.residual import Residual

SUM = ("last_is_the_state_at_the_tip", "many_tokens_and_thoughts_are_as_few")
NOT_YET = ("depth_is_felt", "answer_hangs_on_its_own_thoughts", "many_tokens_and_thoughts_are_as_few")
"""Laws that an exit breaks which adds states, and those that one breaks whose map is zero."""


Step = int | Int[Tensor, "B R"]
Halt = Callable[[Sequence[Float[Tensor, "B R D"]], Int[Tensor, "B R"], int], tuple[Int[Tensor, "B R"], bool]]
"""What may end thinking: the last two states, depths so far and the number of thoughts, from which depths and
whether all branches have ended."""


class ThoughtLoop(nn.Module):
    """Reads `<|lat_s|>`, then `steps` thoughts, then leaves each branch by the exit of the options.

    What a thought is fed is up to `fed`. A branch of depth 0 leaves from `<|lat_s|>`.
    """

    transparent = False

    def __init__(self, config: ThoughtConfig, env: Env) -> None:
        super().__init__()
        self.exit, self.recomputes = config.exit, config.checkpoint
        self.residual = (
            Residual(env.hidden_size, config.residual_std, env.seed) if config.exit == "residual" else None
        )
        self.contract_exceptions: Mapping[str, str] = {}
        if config.exit == "residual" and not config.residual_std:
            self.contract_exceptions = dict.fromkeys(NOT_YET, "the map of thoughts starts at zero")
        elif config.exit in ("mean", "residual"):
            self.contract_exceptions = dict.fromkeys(SUM, "the answer's state is a sum of states")

    def run(
        self,
        backbone: Backbone,
        prompt: Prompt,
        depth: Int[Tensor, "B R"],
        steps: int,
        halt: Halt | None = None,
    ) -> LatentTrace:
        """Think `depth[b, r]` steps in each branch (see the interface); 0 is a depth like any other.

        `halt` may end a branch before that.
        """
        if depth.device.type == "cpu":  # elsewhere `gather` below refuses it, without waiting for the device
            assert int(depth.max()) <= steps, f"a depth of {int(depth.max())} in {steps} steps"
        start, node, context = self.enter(backbone, prompt)
        thoughts, nodes = [self.before_all(prompt, start)], [node]
        norm = self.norm(backbone)
        for step in range(steps):
            inputs = self.fed(thoughts[-1], step, prompt, norm)
            h_BRD, node, context = self._advance(backbone, inputs, nodes[-1], context)
            thoughts.append(h_BRD)
            nodes.append(node)
            if halt is not None:
                depth, last = halt(thoughts[-2:], depth, step + 1)
                if last:
                    break
        own = depth[None]
        tip = torch.stack(nodes).gather(0, own)[0]
        h_TBRD = torch.stack(thoughts)
        h_BRD = h_TBRD.gather(0, own[..., None].expand(-1, -1, -1, h_TBRD.shape[-1]))[0]
        mask = torch.arange(len(thoughts) - 1, device=depth.device) < depth[..., None]
        trace = LatentTrace(h_TBRD[1:].movedim(0, 2), mask, h_BRD, tip, context)
        return self._left(backbone, prompt, depth, start, norm, trace)

    def enter(
        self, backbone: Backbone, prompt: Prompt
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        """The state and the node that the first thought follows."""
        return self._read_token(backbone, LATENT_START, prompt.tip, prompt.context)

    def before_all(self, prompt: Prompt, start: Float[Tensor, "B R D"]) -> Float[Tensor, "B R D"]:
        """h_0."""
        return start

    def norm(self, backbone: Backbone) -> Float[Tensor, ""] | None:
        """A norm that `fed` is to know, the same for all thoughts."""
        return None

    def fed(
        self, h: Float[Tensor, "B R D"], step: Step, prompt: Prompt, norm: Float[Tensor, ""] | None
    ) -> Float[Tensor, "B R D"]:
        """What thought `step + 1` is fed in place of an embedding; `h` is the state before it.

        The exit `hN_as_input` asks each branch as if for one thought more than its own.
        """
        raise NotImplementedError

    def _left(
        self,
        backbone: Backbone,
        prompt: Prompt,
        depth: Int[Tensor, "B R"],
        start: Float[Tensor, "B R D"],
        norm: Float[Tensor, ""] | None,
        trace: LatentTrace,
    ) -> LatentTrace:
        """The trace behind the exit, of one whose `last` is h_N and `tip` its node."""
        last, tip, context, between = trace.last, trace.tip, trace.context, None
        if self.residual is not None:
            shift = self.residual(last, depth > 0)
            last, tip, context = prompt.h0 + shift, prompt.tip, prompt.context
            between = added_between(shift)
        elif self.exit == "mean":
            own = torch.where(trace.mask[..., None], trace.states, 0.0).sum(2)
            last = (start + own) / (depth[..., None] + 1).to(start.dtype)
        elif self.exit in ("direct", "last"):
            # Also where nothing was thought, the first answer token follows the node the second hangs on.
            last = torch.where(depth[..., None] == 0, start, last)
        elif self.exit == "e_token":
            last, tip, context = self._read_token(backbone, LATENT_END, tip, context)
        else:
            assert self.exit == "hN_as_input", self.exit
            inputs = self.fed(last, depth, prompt, norm)
            last, tip, context = self._advance(backbone, inputs, tip, context)
        return LatentTrace(trace.states, trace.mask, last, tip, context, between=between)

    def _read_token(
        self, backbone: Backbone, token: str, parent: Int[Tensor, "B R"], past: Context
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        """Read a latent token behind each parent."""
        index = backbone.tokenizer.convert_tokens_to_ids(token)
        assert backbone.tokenizer.convert_ids_to_tokens(index) == token, f"the tokenizer lacks {token}"
        return self._advance(backbone, backbone.embed(torch.full_like(parent, index)), parent, past)

    def _advance(
        self, backbone: Backbone, inputs: Float[Tensor, "B R D"], parent: Int[Tensor, "B R"], past: Context
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        """`backbone.advance`, recomputed in the backward pass if so asked, and the nodes that were added.

        `advance` leaves `past` as it was, so running it again gives the same. The checkpointing built into
        transformers would instead drop the cache, and with it the prompt.
        """
        node = (past.length + torch.arange(parent.shape[1], device=parent.device)).expand_as(parent)
        if self.recomputes and torch.is_grad_enabled():
            recomputed: Any = checkpoint(backbone.advance, inputs, parent, past, use_reentrant=False)
            state, context = recomputed
        else:
            state, context = backbone.advance(inputs, parent, past)
        return state, node, context
