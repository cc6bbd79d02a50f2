"""Thoughts on the token tree: one token each, every branch a path of its own.

`[prompt] [start] thought 1 .. thought N [exit]` is one path of the tree. Every branch runs `steps` thoughts,
and its exit hangs on its own thought N: those after it are leaves that nothing descends from, so the padding
and masking of appendix E.1 need no code.

Without gradients the exit `<|lat_e|>` costs no pass over the weights: a branch that has had its N thoughts
reads it where others read thought N + 1, and in the last step thought and exit are read one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lasar_kit.core.chains import follow_inputs
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
        norm, leaving, count = self.norm(backbone), self._leaving(backbone, depth), 0
        for step in range(steps):
            inputs = self.fed(thoughts[-1], step, prompt, norm)
            if leaving is not None:
                inputs = inputs.where((depth > step)[..., None], leaving)
            exits = leaving if step + 1 == steps else None
            context = self._read(backbone, inputs, exits, thoughts, nodes, context)
            count = step + 1
            if halt is not None:
                depth, last = halt(thoughts[step : step + 2], depth, count)
                if last:
                    break
        if leaving is not None and len(nodes) == count + 1:  # no step, or all had ended before the last
            context = self._read(backbone, leaving, None, thoughts, nodes, context)
        own = depth[None]
        if leaving is not None:
            own = own + 1
        tip = torch.stack(nodes).gather(0, own)[0]
        h_TBRD = torch.stack(thoughts)
        h_BRD = h_TBRD.gather(0, own[..., None].expand(-1, -1, -1, h_TBRD.shape[-1]))[0]
        mask = torch.arange(count, device=depth.device) < depth[..., None]
        trace = LatentTrace(h_TBRD[1 : count + 1].movedim(0, 2), mask, h_BRD, tip, context)
        return trace if leaving is not None else self._left(backbone, prompt, depth, start, norm, trace)

    @property
    def opening(self) -> str | None:
        """See `lasar_kit.core.capabilities.Opens`."""
        return LATENT_START

    def enter(
        self, backbone: Backbone, prompt: Prompt
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        """The state and the node that the first thought follows."""
        if prompt.opened is not None:
            return prompt.opened, prompt.tip + 1, prompt.context
        inputs = self._token(backbone, LATENT_START, prompt.tip)
        return self._advance(backbone, inputs, prompt.tip, prompt.context)

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
            inputs = self._token(backbone, LATENT_END, tip)
            last, tip, context = self._advance(backbone, inputs, tip, context)
        else:
            assert self.exit == "hN_as_input", self.exit
            inputs = self.fed(last, depth, prompt, norm)
            last, tip, context = self._advance(backbone, inputs, tip, context)
        return LatentTrace(trace.states, trace.mask, last, tip, context, between=between)

    def _leaving(self, backbone: Backbone, depth: Int[Tensor, "B R"]) -> Float[Tensor, "B R D"] | None:
        """What is read in place of a thought that is not a branch's own; None where exits are read apart.

        With gradients they are: training takes the sums of the exit in a call of its own.
        """
        if self.exit != "e_token" or torch.is_grad_enabled():
            return None
        return self._token(backbone, LATENT_END, depth)

    def _read(
        self,
        backbone: Backbone,
        inputs: Float[Tensor, "B R D"],
        exits: Float[Tensor, "B R D"] | None,
        thoughts: list[Float[Tensor, "B R D"]],
        nodes: list[Int[Tensor, "B R"]],
        past: Context,
    ) -> Context:
        """Read one token behind the last node of each branch, and in the same call, if given, `exits` behind
        that; adds to `thoughts` and `nodes`."""
        if exits is None:
            h_BRD, node, context = self._advance(backbone, inputs, nodes[-1], past)
            thoughts.append(h_BRD)
            nodes.append(node)
            return context
        both, tips, context = follow_inputs(backbone, torch.stack([inputs, exits], dim=2), nodes[-1], past)
        thoughts.extend(both.unbind(2))
        nodes.extend(tips.unbind(2))
        return context

    def _token(self, backbone: Backbone, token: str, like: Int[Tensor, "B R"]) -> Float[Tensor, "B R D"]:
        """The input of a latent token, for each branch."""
        index = backbone.tokenizer.convert_tokens_to_ids(token)
        assert backbone.tokenizer.convert_ids_to_tokens(index) == token, f"the tokenizer lacks {token}"
        return backbone.embed(torch.full_like(like, index))

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
