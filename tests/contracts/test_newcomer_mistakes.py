"""Components as somebody new to the kit may get them wrong: which check catches each, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Anchors, Beams, Context, Env, LatentTrace, Prompt, Rollout, SidTable
from lasar_kit.core.vocabulary import LATENT_END
from lasar_kit.testing import checks_for
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.runner import run_check


class Bare:
    """Has no options."""

    def __init__(self, config: Any, env: Env) -> None:
        pass


class OffByOneDepth(Bare):
    """Thinks `depth` times, and answers from `states[depth - 1]` of a list that begins with h_0."""

    transparent = False

    def run(self, backbone: Backbone, prompt: Prompt, depth: Tensor, steps: int) -> LatentTrace:
        rows, branches = depth.shape
        states, nodes, context = [prompt.h0], [prompt.tip], prompt.context
        for _ in range(steps):
            first = context.length
            h, context = self.think(backbone, states[-1], nodes[-1], context)
            states.append(h)
            nodes.append((first + torch.arange(branches)).expand(rows, -1))
        own = (depth - 1).clamp_min(0)
        last = torch.stack(states).gather(0, own[None, ..., None].expand(1, -1, -1, prompt.h0.shape[-1]))[0]
        tip = torch.stack(nodes).gather(0, own[None])[0]
        mask = torch.arange(steps) < depth[..., None]
        return LatentTrace(torch.stack(states, 2)[:, :, 1:], mask, last, tip, context)

    def think(
        self, backbone: Backbone, h: Tensor, parent: Tensor, context: Context
    ) -> tuple[Tensor, Context]:
        return backbone.advance(h, parent, context)


class GradientCut(OffByOneDepth):
    """Detaches the state that is fed back, and thinks under `no_grad` to save memory."""

    def run(self, backbone: Backbone, prompt: Prompt, depth: Tensor, steps: int) -> LatentTrace:
        with torch.no_grad():
            trace = super().run(backbone, prompt, depth + 1, steps + 1)
            ids = torch.full_like(depth, backbone.tokenizer.convert_tokens_to_ids(LATENT_END))
            last, context = backbone.advance(backbone.embed(ids), trace.tip, trace.context)
        tip = (trace.context.length + torch.arange(depth.shape[1])).expand_as(depth)
        mask = torch.arange(steps) < depth[..., None]
        return LatentTrace(trace.states[:, :, :steps], mask, last, tip, context)


class PadNotMasked(Bare):
    """The mean distance over all thoughts of the tensor, multiplied by the mask at the end."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        pairs = min(trace.mask.shape[-1], anchors.mask.shape[-1])
        both = trace.mask[..., :pairs] & anchors.mask[..., :pairs]
        gap = trace.states[..., :pairs, :].float() - anchors.states[..., :pairs, :].detach().float()
        return (gap.square().mean(-1) * both).sum(-1) / both.sum(-1).clamp_min(1)


class MeanOverPaddedSteps(Bare):
    """Masks first, but then takes a plain mean over the steps."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        pairs = min(trace.mask.shape[-1], anchors.mask.shape[-1])
        both = (trace.mask[..., :pairs] & anchors.mask[..., :pairs])[..., None]
        thoughts = trace.states[..., :pairs, :].float().masked_fill(~both, 0.0)
        segments = anchors.states[..., :pairs, :].detach().float().masked_fill(~both, 0.0)
        distance = (thoughts - segments).square().mean(-1)
        return distance.sum(-1) / max(pairs, 1)


class LossInBfloat16(Bare):
    """Keeps whatever type the states have."""

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Tensor:
        pairs = min(trace.mask.shape[-1], anchors.mask.shape[-1])
        both = trace.mask[..., :pairs] & anchors.mask[..., :pairs]
        thoughts = trace.states[..., :pairs, :].masked_fill(~both[..., None], 0.0)
        segments = anchors.states[..., :pairs, :].detach().masked_fill(~both[..., None], 0.0)
        distance = 1 - torch.cosine_similarity(thoughts, segments, dim=-1)
        return (distance.clamp_min(0) * both).sum(-1) / both.sum(-1).clamp_min(1)


class Memory(Context):
    """Embeddings of all tokens so far, and who sees whom."""

    def __init__(self, values: Tensor, seen: Tensor) -> None:
        self.values, self.seen = values, seen

    @property
    def length(self) -> int:
        return self.values.shape[1]


class PositionByArange(nn.Module):
    """One attention layer over the right ancestors, with positions counted along the row."""

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        from lasar_kit.testing.tiny import TinyTokenizer

        self.tokenizer: Any = TinyTokenizer(("<pad>", *env.vocabulary))
        self.hidden_size = width = 8
        generator = torch.Generator().manual_seed(env.seed)
        self.table = nn.Parameter(torch.randn(len(self.tokenizer), width, generator=generator))
        self.query = nn.Parameter(torch.randn(width, width, generator=generator) / width)

    def embed(self, ids: Tensor) -> Tensor:
        return self.table[ids]

    def positions(self, first: int, seen: Tensor) -> Tensor:
        return (first + torch.arange(seen.shape[1])).expand(len(seen), -1)

    def remember(self, past: Memory, values: Tensor, seen: Tensor) -> Memory:
        return Memory(values, seen)

    def advance(self, inputs: Tensor, parent: Tensor, past: Any) -> tuple[Tensor, Memory]:
        rows, new, width = inputs.shape
        old = 0 if past is None else past.length
        seen = torch.zeros(rows, old + new, old + new, dtype=torch.bool)
        values = inputs if past is None else torch.cat([past.values, inputs], dim=1)
        if past is not None:
            seen[:, :old, :old] = past.seen
        for q in range(new):
            for b in range(rows):
                if parent[b, q] >= 0:
                    seen[b, old + q] = seen[b, parent[b, q]]
                seen[b, old + q, old + q] = True
        place = self.positions(old, seen[:, old:])
        angle = torch.arange(width) * 0.7 + 0.3 * place[..., None]
        inputs = inputs + angle.sin()
        values = torch.cat([values[:, :old], inputs], dim=1)
        score = (inputs @ self.query @ values.transpose(1, 2)).masked_fill(~seen[:, old:], -1e9)
        memory = Memory(values, seen) if past is None else self.remember(past, values, seen)
        return score.softmax(-1) @ values + inputs, memory

    def logits(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        return hidden @ (self.table if tokens is None else self.table[tokens]).T

    def embedding_norm(self) -> Tensor:
        return self.table.detach().norm(dim=-1).mean()

    def save(self, directory: Any) -> None:
        torch.save(self.state_dict(), directory / "model.pt")


class MutatedCache(PositionByArange):
    """Positions by depth, but the cache it was given grows in place."""

    def positions(self, first: int, seen: Tensor) -> Tensor:
        return seen.sum(-1) - 1

    def remember(self, past: Memory, values: Tensor, seen: Tensor) -> Memory:
        past.values, past.seen = values, seen
        return past


class UnsortedBeams(Bare):
    """Keeps the best prefixes of each level in the order of the catalogue."""

    def bind(self, table: SidTable) -> None:
        self.table = table

    @torch.no_grad()
    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        rows, branches = trace.tip.shape
        items = torch.full((rows, branches, width), -1)
        logp = torch.full((rows, branches, width), -torch.inf)
        for b in range(rows):
            for r in range(branches):
                scored = self.rank([(self.score(backbone, trace, b, r, i), i) for i in self.candidates()])
                for place, (value, item) in enumerate(scored[:width]):
                    items[b, r, place], logp[b, r, place] = item, value
        return Beams(items, logp)

    def candidates(self) -> list[int]:
        leaves = self.table.leaves.tolist()
        return [leaves.index(leaf) for leaf in dict.fromkeys(leaves)]

    def rank(self, scored: list[tuple[float, int]]) -> list[tuple[float, int]]:
        return sorted(scored, key=lambda pair: pair[1])

    def score(self, backbone: Backbone, trace: LatentTrace, b: int, r: int, item: int) -> float:
        """One item's log-probability, its tokens read one after the other in every row."""
        hidden, parent, context, total = trace.last[b, r], trace.tip[b, r], trace.context, 0.0
        for token in self.table.tokens[item]:
            total += float(backbone.logits(hidden).log_softmax(-1)[token])
            inputs = backbone.embed(token).expand(len(trace.tip), 1, -1)
            node = context.length
            states, context = backbone.advance(inputs, parent.expand(len(trace.tip), 1), context)
            hidden, parent = states[b, 0], torch.tensor(node)
        return total


class DuplicateItems(UnsortedBeams):
    """Sorts, but ranks every row of the table, those that share a SID under the first of them."""

    def candidates(self) -> list[int]:
        leaves = self.table.leaves.tolist()
        return [leaves.index(leaf) for leaf in leaves]

    def rank(self, scored: list[tuple[float, int]]) -> list[tuple[float, int]]:
        return sorted(scored, reverse=True)


class GlobalRandomNumbers(nn.Module):
    """A depth policy with the layers and the initialisation that torch gives."""

    support: tuple[int, ...] = (1, 2, 3)

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        self.head = nn.Linear(env.hidden_size, 3)

    def logits(self, prompt: Prompt) -> Tensor:
        logits: Tensor = self.head(prompt.h0.to(self.head.weight.dtype))
        return logits.float()


class MissingIncluded(Bare):
    """Group-relative advantages over all G candidates, missing ones too."""

    exact_kl = False

    def loss(self, rollout: Rollout) -> tuple[Tensor, dict[str, float]]:
        rewards = rollout.rewards.detach()
        advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        return -(advantage[..., None] * rollout.logp.float()).mean(), {}

    def observe(self, rollout: Rollout) -> None:
        pass


MISTAKES: list[tuple[str, type, str, str]] = [
    (
        "latent_loop",
        OffByOneDepth,
        "answer_hangs_on_its_own_thoughts",
        "a branch of depth 1 does not read its last thought, 1",
    ),
    ("latent_loop", GradientCut, "gradient_reaches_the_prompt", "the gradient of predictions does not reach"),
    (
        "aligner",
        PadNotMasked,
        "masked_places_are_ignored",
        "NaN at masked places: loss nan instead of 0 at [0, 0]",
    ),
    ("aligner", MeanOverPaddedSteps, "padding_changes_nothing", "masked places more: the loss is"),
    (
        "aligner",
        LossInBfloat16,
        "loss_is_computed_in_float32",
        "the loss of bfloat16 states is torch.bfloat16, not float32",
    ),
    ("backbone", PositionByArange, "a_path_is_read_as_if_it_stood_alone", "a state is"),
    ("backbone", MutatedCache, "past_is_left_as_it_was", "contexts hold (4, 4) nodes, not (1, 2)"),
    ("decoder", UnsortedBeams, "best_come_first", "a branch has logp"),
    ("decoder", DuplicateItems, "no_item_twice", "a branch holds items [0, 0]"),
    ("depth_policy", GlobalRandomNumbers, "no_global_random_numbers", "moved the global generator of torch"),
    (
        "rl_objective",
        MissingIncluded,
        "missing_candidates_are_ignored",
        "in place of missing candidates: loss nan",
    ),
]


@pytest.mark.parametrize(
    ("kind", "wrong", "check", "says"), MISTAKES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_mistake_is_caught_by_name(kind: str, wrong: type, check: str, says: str) -> None:
    named = next(known for known in checks_for(kind) if known.name == check)
    result = run_check(named, Subject(kind, wrong.__name__, lambda env: wrong(None, env)))
    assert not result.passed
    assert says in result.message
    assert len(result.message.splitlines()) == 2
