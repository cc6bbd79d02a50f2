"""The values that pass between components.

Shape letters: B rows, R branches a row (1 in evaluation and RL, item positions in packed training),
L prompt tokens, Q new tokens, T thoughts, D hidden width, V vocabulary, C depth choices, S segments,
G candidates, W beams, M SID levels, I items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Context:
    """What a backbone remembers of the tokens it has seen; opaque, but for `length`, to all but the backbone
    that made it."""

    @property
    def length(self) -> int:
        """Nodes a row: the next call's first token becomes node `length`."""
        raise NotImplementedError(f"{type(self).__name__}.length")


@dataclass(frozen=True)
class Env:
    """What the surroundings give a component when it is built; a component reads what it needs.

    `vocabulary`: tokens a backbone must hold besides its own (SID and latent tokens).
    `corpus`: texts from which a from-scratch backbone trains its tokenizer.
    `checkpoint`: a folder the component saved itself to, to be restored instead of initialised.
    `item_ids`: raw ids, in the order of the item table.
    `table`: the items' semantic IDs, in the same order.
    `build(kind, config, env)`: builds a component that this one is made of.
    `head`: next-token logits of the states of the backbone that the component works on (`Backbone.logits`),
    for those that compare states by what they predict; `frozen_head()` makes the head, as it was then, of the
    backbone that read the anchors.
    `report(numbers)`: told how long work stands, as often as there is news (counts, cost).
    """

    seed: int = 0
    device: str = "cpu"
    hidden_size: int = 0
    vocabulary: tuple[str, ...] = ()
    corpus: Callable[[], Iterable[str]] = tuple
    checkpoint: Path | None = None
    item_ids: tuple[str, ...] = ()
    table: SidTable | None = None
    build: Callable[[str, Any, Env], Any] | None = None
    head: Callable[[Tensor], Tensor] | None = None
    frozen_head: Callable[[], Callable[[Tensor], Tensor]] | None = None
    report: Callable[[dict[str, float]], None] = lambda numbers: None


@dataclass(frozen=True)
class Prompt:
    """R prompts a row, read. `h0` is the state at each prompt's last token, `tip` that token's node index."""

    h0: Float[Tensor, "B R D"]
    tip: Int[Tensor, "B R"]
    context: Context


@dataclass(frozen=True)
class LatentTrace:
    """What a latent loop leaves behind.

    `states[b, r, t]` is thought t + 1 where `mask` is true. `last` predicts the first answer token,
    and the answer's first token is to be fed as a child of node `tip`.
    """

    states: Float[Tensor, "B R T D"]
    mask: Bool[Tensor, "B R T"]
    last: Float[Tensor, "B R D"]
    tip: Int[Tensor, "B R"]
    context: Context


@dataclass(frozen=True)
class Anchors:
    """Hidden states of a teacher's reasoning segments, the targets of alignment."""

    states: Float[Tensor, "B R S D"]
    mask: Bool[Tensor, "B R S"]


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
    (`exact_kl`).
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
