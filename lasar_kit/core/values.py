"""The values that pass between components.

Shape letters: B rows, R branches a row (1 in evaluation and RL, item positions in packed training),
L prompt tokens, Q new tokens, T thoughts, D hidden width, V vocabulary, C depth choices, S segments,
G candidates, X texts a prompt, W beams or written tokens, N branches behind answer tokens, M SID levels,
I items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.samples import Window


class Context:
    """A backbone's memory of the tokens it has seen; opaque, but for `length`, to all but the backbone
    that made it."""

    @property
    def length(self) -> int:
        """Nodes a row: the next call's first token becomes node `length`."""
        raise NotImplementedError(f"{type(self).__name__}.length")


@dataclass(frozen=True)
class Env:
    """The surroundings of a component when it is built; `lasar_kit.core.environment` says which of them
    a component of each kind is given, in runs and in its contract alike.

    `seed`: decides all that is random. `device`: where its tensors belong.
    `report(numbers)`: told how long work stands, as often as there is news (counts, cost).
    `build(kind, config, env)`: builds a component that this one is made of.
    `items`: the item table, with the columns `lasar_kit.core.dataset.ITEM_COLUMNS`; `item_ids` its raw ids.
    `train`: the training part of all sequences. `max_history`: items that a prompt shows at most.
    `table`: the items' semantic IDs, in the order of the item table.
    `vocabulary`: tokens a backbone must hold besides its own (SID and latent tokens).
    `corpus`: texts from which a from-scratch backbone trains its tokenizer.
    `checkpoint`: a folder the component saved itself to, to be restored instead of initialised.
    `hidden_size`: the width D of the backbone's states. `tokenizer`: the backbone's.
    `head`: next-token logits of the states of the backbone that the component works on (`Backbone.logits`),
    for those that compare states by what they predict; `frozen_head()` makes the head, as it was then, of the
    backbone that read the anchors.
    `frozen()` makes a copy of the backbone that the component works on, as it is when the component is built,
    in evaluation mode.
    `written(teacher, rule, most)`: a teacher's texts about training prompts ("sliding" or
    "longest_per_user"), at most so many, each behind the window of its prompt and answer.
    `item_vectors()`: the vectors of all items in a model that the stage reads.
    `catalogue`: all components there are, for what loads a finished run.
    """

    seed: int = 0
    device: str = "cpu"
    hidden_size: int = 0
    vocabulary: tuple[str, ...] = ()
    corpus: Callable[[], Iterable[str]] = tuple
    checkpoint: Path | None = None
    items: pl.DataFrame | None = None
    train: Sequences | None = None
    max_history: int = 0
    table: SidTable | None = None
    tokenizer: Any = None
    build: Callable[[str, Any, Env], Any] | None = None
    head: Callable[[Tensor], Tensor] | None = None
    frozen_head: Callable[[], Callable[[Tensor], Tensor]] | None = None
    frozen: Callable[[], Any] | None = None
    written: Callable[[Any, str, int], Sequence[tuple[Window, str]]] | None = None
    report: Callable[[dict[str, float]], None] = lambda numbers: None
    item_vectors: Callable[[], Float[np.ndarray, "I E"]] | None = None
    catalogue: Any = None

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        """Raw ids of the item table, in its order; none without one."""
        return () if self.items is None else tuple(self.items["id"])


@dataclass(frozen=True)
class Prompt:
    """R prompts a row, read.

    `h0` is the state at each prompt's last token, `tip` that token's node index. `states` are those of the
    chain that a row's prompts share; prompt r has read its columns `first[b] .. ends[b, r]`, and, where the
    template has a tail on a branch of its own, that, whose states are `tail`. It shows `items[b, r]` items of
    the history, which are `shown[b, r]` (oldest first, -1 past the end) where that is known.
    `opened` is the state at the token that the loop begins with, node `tip + 1` of the context, where that
    was read with the prompt (`lasar_kit.core.capabilities.Opens`).
    """

    h0: Float[Tensor, "B R D"]
    tip: Int[Tensor, "B R"]
    context: Context
    states: Float[Tensor, "B L D"]
    first: Int[Tensor, " B"]
    ends: Int[Tensor, "B R"]
    items: Int[Tensor, "B R"]
    tail: Float[Tensor, "B R Q D"] | None = None
    shown: Int[Tensor, "B R H"] | None = None
    opened: Float[Tensor, "B R D"] | None = None

    @cached_property
    def mask(self) -> Bool[Tensor, "B R L"]:
        """Which of `states` each prompt has read."""
        column = torch.arange(self.states.shape[1], device=self.ends.device)
        return (column >= self.first[:, None, None]) & (column <= self.ends[..., None])

    @property
    def lengths(self) -> Int[Tensor, "B R"]:
        """Tokens of the shared chain that each prompt has read."""
        return self.ends - self.first[:, None] + 1

    def branched(self, count: int) -> Prompt:
        """The one prompt of each row as `count` branches, to be thought about apart; read once for all."""
        names = ("h0", "tip", "ends", "items", "tail", "shown", "opened")
        held = {name: value for name in names if (value := getattr(self, name)) is not None}
        return replace(
            self, **{name: value.expand(-1, count, *value.shape[2:]) for name, value in held.items()}
        )


Between = Callable[
    [Float[Tensor, "B N D"], Int[Tensor, "B N"], Context],
    tuple[Float[Tensor, "B N D"], Int[Tensor, "B N"], Context],
]
"""A loop's step behind an answer's token: from the token's state and node, the state that predicts the
next token and the node that this one hangs on; N branches a row."""


@dataclass(frozen=True)
class LatentTrace:
    """The thoughts of a latent loop, and the state to answer from.

    `states[b, r, t]` is thought t + 1 where `mask` is true. `last` predicts the first answer token,
    and the answer's first token is to be fed as a child of node `tip`.
    A loop that halts by itself says how long it thought by `depth`, and the log-probability of having stopped
    there by `depth_logp`; one that writes leaves `written`, token ids with -1 past the end, and their
    log-probabilities; one that also thinks between answer tokens leaves `between`; one whose thoughts are
    mixed of K streams leaves those, `streams[b, r, k, t]` as `states`. `shown` are the items that
    each prompt shows, oldest first, -1 past the end; a recommender puts them there, a loop need not.
    """

    states: Float[Tensor, "B R T D"]
    mask: Bool[Tensor, "B R T"]
    last: Float[Tensor, "B R D"]
    tip: Int[Tensor, "B R"]
    context: Context
    depth: Int[Tensor, "B R"] | None = None
    depth_logp: Float[Tensor, "B R"] | None = None
    written: Int[Tensor, "B R W"] | None = None
    written_logp: Float[Tensor, "B R W"] | None = None
    between: Between | None = None
    streams: Float[Tensor, "B R K T D"] | None = None
    shown: Int[Tensor, "B R H"] | None = None


@dataclass(frozen=True)
class Anchors:
    """Hidden states of a teacher's reasoning segments, the targets of alignment."""

    states: Float[Tensor, "B R S D"]
    mask: Bool[Tensor, "B R S"]


_FEW = 64
"""Items whose SIDs are looked for one by one."""


@dataclass(frozen=True)
class SidTable:
    """The catalogue: item i is the token sequence `tokens[i]`, one token id a level."""

    tokens: Int[Tensor, "I M"]

    @cached_property
    def leaves(self) -> Int[Tensor, " I"]:
        """The leaf of each item: equal for items that share a SID."""
        leaf: Tensor = torch.unique(self.tokens, dim=0, return_inverse=True)[1]
        return leaf

    @cached_property
    def shared(self) -> bool:
        """Whether any two items have the same SID."""
        return int(self.leaves.max()) + 1 < len(self.leaves)

    def grown(self, tokens: Int[Tensor, "n M"]) -> SidTable:
        """The catalogue with n more items behind its own; whether any share a SID is kept where it is plain,
        as finding it out takes a sorting of them all."""
        table = SidTable(torch.cat([self.tokens, tokens.to(self.tokens)]))
        if len(tokens) <= _FEW and "shared" in vars(self) and not self.shared:
            new = enumerate(table.tokens[len(self.tokens) :], start=len(self.tokens))
            vars(table)["shared"] = any(
                bool((table.tokens[:place] == row).all(1).any()) for place, row in new
            )
        return table

    @cached_property
    def _by_leaf(self) -> tuple[Int[Tensor, " I"], list[int]]:
        """The items sorted by leaf, ascending within one, and where each leaf begins."""
        ends = self.leaves.bincount().cumsum(0)
        return self.leaves.argsort(stable=True), [0, *ends.tolist()]

    def items_like(self, item: int) -> Int[Tensor, " n"]:
        """All items with the SID of `item`, itself included, ascending."""
        order, starts = self._by_leaf
        leaf = int(self.leaves[item])
        return order[starts[leaf] : starts[leaf + 1]]


@dataclass(frozen=True)
class Beams:
    """W ranked items a branch, best first.

    `items` holds rows of the item table, -1 where fewer than W leaves exist (their `logp` is -inf);
    where items share a SID it is the first of them.
    """

    items: Int[Tensor, "B R W"]
    logp: Float[Tensor, "B R W"]

    @property
    def valid(self) -> Bool[Tensor, "B R W"]:
        """Where there is an item."""
        return self.items >= 0


@dataclass(frozen=True)
class Rollout:
    """G candidates a prompt with their log-probabilities a token, and the depth that was chosen for it.

    `depth_logp` is the policy's log-distribution over its support, `depth_index` the choice within it.
    `old_logp` and `old_depth_logp` are the policy's when it made the rollout, no `old_depth_logp` being the
    policy as it is. `world_reward` is the mean reward of the whole batch over all ranks. `ref_kl` is the KL
    divergence from the reference over all tokens at each place, given where an objective asks for it
    (`exact_kl`); `ref_logp` and `ref_written_logp` are NaN where none reads the reference. `halt_logp` is the
    log-probability of the depth at which the loop itself stopped, with gradient, and `old_halt_logp` what it
    was when the rollout was made; None where depths are the policy's.
    `written_logp`, `old_written_logp` and `ref_written_logp` are those of the W tokens that the loop wrote
    before the answer, 0 past the end (`written` marks them), of X texts a prompt: one that its candidates
    share (X is 1), or one of each candidate's own (X is G). None where it writes nothing, the reference's
    also where it was not asked.
    Tokens of candidates that are not valid may hold anything.
    """

    logp: Float[Tensor, "B G M"]
    old_logp: Float[Tensor, "B G M"]
    ref_logp: Float[Tensor, "B G M"]
    rewards: Float[Tensor, "B G"]
    valid: Bool[Tensor, "B G"]
    depth: Int[Tensor, " B"]
    depth_logp: Float[Tensor, "B C"]
    depth_index: Int[Tensor, " B"]
    world_reward: Float[Tensor, ""]
    ref_kl: Float[Tensor, "B G M"] | None = None
    old_depth_logp: Float[Tensor, "B C"] | None = None
    halt_logp: Float[Tensor, " B"] | None = None
    old_halt_logp: Float[Tensor, " B"] | None = None
    written: Bool[Tensor, "B X W"] | None = None
    written_logp: Float[Tensor, "B X W"] | None = None
    old_written_logp: Float[Tensor, "B X W"] | None = None
    ref_written_logp: Float[Tensor, "B X W"] | None = None


@dataclass(frozen=True)
class Judged:
    """Candidates of B prompts, to be rewarded.

    `candidates` are rows of the item table, best first, -1 for none; `target` the item that came next;
    `history` the items that the prompt shows, oldest first, -1 past the end; `written` the token ids that the
    loop wrote before the answer, -1 past the end, of one text that the candidates share (X is 1) or of one
    each (X is G); None where it writes nothing.
    """

    candidates: Int[Tensor, "B G"]
    target: Int[Tensor, " B"]
    history: Int[Tensor, "B H"]
    written: Int[Tensor, "B X W"] | None = None
