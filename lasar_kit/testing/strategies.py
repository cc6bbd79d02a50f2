"""Inputs for checks: shapes, masks, depths and types drawn by hypothesis, numbers by a drawn seed.

A case holds what was drawn, small enough to print; its tensors are made from that, the same ones each time.
Shape letters as in `lasar_kit.core.values`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.values import Anchors, Context, LatentTrace, Prompt, Rollout, SidTable
from lasar_kit.testing import tiny
from lasar_kit.testing.tiny import WIDTH, TinyBackbone

Table = list[list[int]]
SEEDS = st.integers(0, 99)
SCALES = st.sampled_from([1.0, 0.1, 20.0])


def numbers(*shape: int, seed: int = 0) -> Float[Tensor, "*S"]:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _rows(values: st.SearchStrategy[Any], columns: int) -> st.SearchStrategy[list[list[Any]]]:
    """One to three rows of so many values; whole rows go where an example is made smaller."""
    return st.lists(st.lists(values, min_size=columns, max_size=columns), min_size=1, max_size=3)


@dataclass(frozen=True)
class Alignment:
    """Thoughts and segments of B rows and R branches; `pads` masked places stand behind the longest."""

    depth: Table
    segments: Table
    pads: tuple[int, int]
    width: int = WIDTH
    seed: int = 0
    scale: float = 1.0
    dtype: torch.dtype = torch.float32

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.depth), len(self.depth[0])

    def _states(self, counts: Table, pads: int, seed: int) -> tuple[Tensor, Bool[Tensor, "B R T"]]:
        most = max(map(max, counts)) + pads
        # Drawn longest first, so that more pads leave the other places as they are.
        states = numbers(12, *self.shape, self.width, seed=seed)[:most].permute(1, 2, 0, 3)
        mask = torch.arange(most) < torch.tensor(counts)[..., None]
        return (self.scale * states).to(self.dtype), mask

    @property
    def trace(self) -> LatentTrace:
        states, mask = self._states(self.depth, self.pads[0], 2 * self.seed)
        tip = torch.zeros(self.shape, dtype=torch.int64)
        return LatentTrace(states, mask, states.new_zeros(*self.shape, self.width), tip, Context())

    @property
    def anchors(self) -> Anchors:
        return Anchors(*self._states(self.segments, self.pads[1], 2 * self.seed + 1))


@st.composite
def alignments(draw: st.DrawFn) -> Alignment:
    """Depths 0 to 4 against 0 to 4 segments."""
    branches, count = draw(st.integers(1, 2)), st.integers(0, 4)
    pairs = draw(_rows(st.tuples(count, count), branches))
    depth, segments = ([[pair[side] for pair in row] for row in pairs] for side in (0, 1))
    pads = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    return Alignment(depth, segments, pads, seed=draw(SEEDS), scale=draw(SCALES))


@dataclass(frozen=True)
class Thinking:
    """Prompts of B rows: token ids; of R branches each: the last token's place, the depth, the answer."""

    prompts: Table
    tips: Table
    depth: Table
    answer: Table
    pads: int = 0
    surplus: int = 0

    def only(self, b: int, r: int) -> Thinking:
        """One branch alone: its prompt ends where it leaves, without pads."""
        end = self.tips[b][r]
        return Thinking([self.prompts[b][: end + 1]], [[end]], [[self.depth[b][r]]], [[self.answer[b][r]]])

    @property
    def steps(self) -> int:
        return max(map(max, self.depth)) + self.surplus

    def ids(self) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"], Int[Tensor, "B R"]]:
        """Left-padded token ids, which of them are real, and the nodes of the tips."""
        width = max(map(len, self.prompts)) + self.pads
        padded = [[0] * (width - len(row)) + row for row in self.prompts]
        real = [[False] * (width - len(row)) + [True] * len(row) for row in self.prompts]
        pairs = zip(self.prompts, self.tips, strict=True)
        tips = [[width - len(row) + tip for tip in tips] for row, tips in pairs]
        return torch.tensor(padded), torch.tensor(real), torch.tensor(tips)


@st.composite
def thinkings(draw: st.DrawFn, most: int = 3) -> Thinking:
    """Up to three rows of up to four tokens, up to three branches of up to `most` thoughts."""
    branches, token = draw(st.integers(1, 3)), st.integers(3, 13)
    back, prompt = st.integers(0, 3), st.lists(token, min_size=1, max_size=4)
    branch = st.lists(st.tuples(back, st.integers(0, most), token), min_size=branches, max_size=branches)
    drawn = draw(st.lists(st.tuples(prompt, branch), min_size=1, max_size=3))
    prompts = [row for row, _ in drawn]
    tips = [[max(len(row) - 1 - back, 0) for back, _, _ in leaves] for row, leaves in drawn]
    depth, answer = ([[leaf[place] for leaf in leaves] for _, leaves in drawn] for place in (1, 2))
    return Thinking(prompts, tips, depth, answer, draw(st.integers(0, 2)), draw(st.integers(0, 2)))


@dataclass(frozen=True)
class Search:
    """A catalogue of token sequences, two of which may be equal, and prompts to search it from."""

    table: Table
    thinking: Thinking
    width: int
    coarse: bool = False
    """Whether logits are rounded, so that many are equal to the bit."""

    @property
    def backbone(self) -> TinyBackbone:
        """The model that is searched."""
        return tiny.coarse_backbone() if self.coarse else tiny.backbone()

    @property
    def sids(self) -> SidTable:
        return SidTable(torch.tensor(self.table))

    @property
    def leaves(self) -> Table:
        """The distinct sequences, in the order of the first items that have them."""
        return [row for place, row in enumerate(self.table) if row not in self.table[:place]]


@st.composite
def searches(draw: st.DrawFn) -> Search:
    """Up to eight items of one to three levels, widths up to ten."""
    levels, token = draw(st.integers(1, 3)), st.integers(3, 6)
    row = st.lists(token, min_size=levels, max_size=levels)
    # Of a few sequences, so that items often share one.
    pool = draw(st.lists(row, min_size=1, max_size=6))
    items = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8))
    return Search(items, replace(draw(thinkings(most=1)), surplus=0), draw(st.integers(1, 10)))


@dataclass(frozen=True)
class Tree:
    """Parents of the tokens of B rows, and where the calls end that read them."""

    parents: Table
    cuts: list[int]
    seed: int = 0

    def ancestors(self, b: int, node: int) -> list[int]:
        """The path from the root to a node, itself last."""
        parent = self.parents[b][node]
        return [*(self.ancestors(b, parent) if parent >= 0 else []), node]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Up to two rows of up to seven tokens: a left-padded chain first, then any tree."""
    rows, nodes = draw(st.integers(1, 2)), draw(st.integers(2, 7))
    chain = draw(st.integers(1, nodes))
    parents = []
    for _ in range(rows):
        pads = draw(st.integers(0, chain - 1))
        head = [-1 if node <= pads else node - 1 for node in range(chain)]
        parents.append(head + [draw(st.integers(pads, node - 1)) for node in range(chain, nodes)])
    cuts = draw(st.sets(st.integers(1, nodes - 1), min_size=1, max_size=2))
    return Tree(parents, sorted({*cuts, nodes}), draw(SEEDS))


@dataclass(frozen=True)
class States:
    """Last prompt states of B rows and R branches."""

    rows: int
    branches: int
    seed: int
    scale: float

    @property
    def prompt(self) -> Prompt:
        """Chains of six columns, up to two of them pads; branch r has read up to column 5 - r."""
        states = self.scale * numbers(self.rows, 6, WIDTH, seed=self.seed)
        ends = (5 - torch.arange(self.branches)).expand(self.rows, -1)
        first = torch.arange(self.rows) % 3
        h0 = states[torch.arange(self.rows)[:, None], ends]
        return Prompt(h0, ends, Context(), states, first, ends, ends - first[:, None] + 1)

    def only(self, b: int) -> Prompt:
        """One row alone, without its pads."""
        whole = self.prompt
        first = int(whole.first[b])
        ends = whole.ends[b : b + 1] - first
        states = whole.states[b : b + 1, first:]
        items = whole.items[b : b + 1]
        return Prompt(whole.h0[b : b + 1], ends, Context(), states, torch.zeros(1).long(), ends, items)


def prompt_of(h0: Float[Tensor, "B R D"]) -> Prompt:
    """Prompts of one token each, whose last states are these."""
    rows, branches, _ = h0.shape
    tip = torch.arange(branches, device=h0.device).expand(rows, -1)
    first = torch.zeros(rows, dtype=torch.int64, device=h0.device)
    return Prompt(h0, tip, Context(), h0, first, tip, torch.ones_like(tip))


STATES = st.builds(States, st.integers(1, 4), st.integers(1, 3), SEEDS, st.sampled_from([1.0, 0.1, 1000.0]))
"""Of small and of very large numbers, since states after a final norm are long."""


@dataclass(frozen=True)
class Rolled:
    """A rollout of B prompts with G candidates of M tokens; `spread` is how far the old policy was away.

    `support` are the depths that were chosen from; `own` says that each candidate has a text of its own.
    """

    valid: list[list[bool]]
    levels: int
    support: tuple[int, ...]
    seed: int
    spread: float
    own: bool = False

    @property
    def rollout(self) -> Rollout:
        rows, group = len(self.valid), len(self.valid[0])
        shape = (rows, group, self.levels)
        logp = -numbers(*shape, seed=self.seed).abs() - 0.1
        choices = len(self.support)
        index = torch.arange(rows) % choices
        depth_logp = numbers(rows, choices, seed=self.seed + 400).log_softmax(-1)
        other_depths = numbers(rows, choices, seed=self.seed + 600)
        texts = group if self.own else 1
        words = -numbers(rows, texts, 3, seed=self.seed + 700).abs() - 0.1
        written = torch.arange(3) < 1 + torch.arange(rows * texts).view(rows, texts, 1) % 3
        others = [
            words - self.spread * numbers(rows, texts, 3, seed=self.seed + added) for added in (800, 900)
        ]
        return Rollout(
            logp=logp,
            old_logp=logp - self.spread * numbers(*shape, seed=self.seed + 100),
            ref_logp=logp - self.spread * numbers(*shape, seed=self.seed + 200),
            rewards=numbers(rows, group, seed=self.seed + 300),
            valid=torch.tensor(self.valid),
            depth=torch.tensor(self.support)[index],
            depth_logp=depth_logp,
            depth_index=index,
            world_reward=torch.tensor(0.1),
            ref_kl=numbers(*shape, seed=self.seed + 500).abs(),
            old_depth_logp=(depth_logp - self.spread * other_depths).log_softmax(-1),
            written=written,
            written_logp=words.masked_fill(~written, 0.0),
            old_written_logp=others[0].masked_fill(~written, 0.0),
            ref_written_logp=others[1].masked_fill(~written, 0.0),
        )


@st.composite
def rollouts(draw: st.DrawFn) -> Rolled:
    """Up to four prompts of three to five candidates, some of them missing; one to four depths of 0 to 8."""
    rows, group = draw(st.integers(1, 4)), draw(st.integers(3, 5))
    missing = draw(st.sets(st.tuples(st.integers(0, rows - 1), st.integers(0, group - 1)), max_size=3))
    valid = [[(b, g) not in missing for g in range(group)] for b in range(rows)]
    spread = draw(st.sampled_from([0.0, 0.1]))
    support = tuple(sorted(draw(st.sets(st.integers(0, 8), min_size=1, max_size=4))))
    return Rolled(valid, draw(st.integers(1, 3)), support, draw(SEEDS), spread, draw(st.booleans()))


@dataclass(frozen=True)
class Group:
    """Candidates of B prompts, -1 for none, and their targets."""

    candidates: Table
    target: list[int]


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Up to three prompts of up to four candidates, of five items."""
    candidates = draw(_rows(st.integers(-1, 4), draw(st.integers(1, 4))))
    return Group(candidates, [draw(st.integers(0, 4)) for _ in candidates])
