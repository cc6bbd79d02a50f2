"""A latent loop, a depth policy and a decoder, each in its plainest form."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Beams, Context, Env, LatentTrace, Prompt, SidTable
from lasar_kit.core.vocabulary import LATENT_END


class TinyLoop(nn.Module):
    """Feeds the last state, times a learned gain, as a child of the last thought; then reads `<|lat_e|>`."""

    transparent = False

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(env.seed)
        self.gain = nn.Parameter(1 + 0.3 * torch.randn(env.hidden_size, generator=generator))

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Thought t is the child of thought t - 1, the first of the prompt's tip."""
        states, tips, context = [prompt.h0], [prompt.tip], prompt.context
        for _ in range(steps):
            h, node, context = self.step(backbone, states[-1], tips[-1], context)
            states.append(h)
            tips.append(node)
        own = depth[None, ..., None]
        tip = torch.stack(tips).gather(0, own[..., 0])[0]
        ids = torch.full_like(tip, backbone.tokenizer.convert_tokens_to_ids(LATENT_END))
        last, node, context = read(backbone, backbone.embed(ids), tip, context)
        mask = torch.arange(steps, device=depth.device) < depth[..., None]
        thoughts = (
            torch.stack(states[1:], dim=2) if steps else prompt.h0.new_zeros(*tip.shape, 0, last.shape[-1])
        )
        return LatentTrace(thoughts, mask, last, node, context)

    def step(
        self, backbone: Backbone, h: Float[Tensor, "B R D"], parent: Int[Tensor, "B R"], context: Context
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        """One thought more in every branch."""
        return read(backbone, h * self.gain, parent, context)


def read(
    backbone: Backbone, inputs: Float[Tensor, "B R D"], parent: Int[Tensor, "B R"], past: Context
) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
    """Read one token behind each parent: the states, the nodes they became, the context."""
    hidden, context = backbone.advance(inputs, parent, past)
    node = past.length + torch.arange(parent.shape[1], device=parent.device)
    return hidden, node.expand_as(parent), context


class TinyPolicy(nn.Module):
    """A linear layer over depths 0 to 3."""

    support: tuple[int, ...] = (0, 1, 2, 3)

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(env.seed)
        self.weight = nn.Parameter(0.3 * torch.randn(env.hidden_size, 4, generator=generator))

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R C"]:
        """Products with the weights."""
        return prompt.h0.float() @ self.weight


class TinyDecoder:
    """Scores every item of the catalogue and sorts them."""

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def bind(self, table: SidTable) -> None:
        """Keep the first item of each SID."""
        leaves = table.leaves
        first = [int((leaves == leaf).nonzero()[0]) for leaf in range(int(leaves.max()) + 1)]
        self.items, self.leaves = torch.tensor(first), table.leaves
        self.tokens = table.tokens[self.items]

    def extend(self, table: SidTable) -> None:
        """Begin anew."""
        self.bind(table)

    @torch.no_grad()
    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """The best `width` by their log-probabilities over all tokens."""
        return self._best(self.scores(backbone, trace), width)

    @torch.no_grad()
    def search_among(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed) -> Beams:
        """The best `width` of those of which any item is allowed."""
        total = self.scores(backbone, trace)
        listed = allowed.mask(len(self.leaves)).long()
        share = torch.zeros(len(listed), len(self.items), dtype=torch.int64)
        closed = share.index_add_(1, self.leaves, listed) == 0
        return self._best(total.masked_fill(closed[:, None], -torch.inf), width)

    def _best(self, total: Float[Tensor, "B R I"], width: int) -> Beams:
        order = total.argsort(dim=-1, descending=True, stable=True)[..., :width]
        missing = (0, width - order.shape[-1])
        logp = nn.functional.pad(total.gather(-1, order), missing, value=-torch.inf)
        items = nn.functional.pad(self.items[order], missing, value=-1)
        return Beams(items.masked_fill(logp.isneginf(), -1), logp)

    def scores(self, backbone: Backbone, trace: LatentTrace) -> Float[Tensor, "B R I"]:
        """Log-probability of each item of each branch."""
        rows, branches = trace.tip.shape
        count = len(self.tokens)
        hidden = trace.last[:, :, None].expand(-1, -1, count, -1).flatten(1, 2)
        parent = trace.tip[..., None].expand(-1, -1, count).flatten(1)
        total, context = torch.zeros(rows, branches, count), trace.context
        for level, column in enumerate(self.tokens.T):
            token = column.expand(rows, branches, count).flatten(1)
            logp = backbone.logits(hidden).float().log_softmax(-1)
            total = total + logp.gather(-1, token[..., None])[..., 0].view_as(total)
            if level + 1 < self.tokens.shape[1]:
                hidden, parent, context = read(backbone, backbone.embed(token), parent, context)
        return total
