"""Who sees whom in a token tree: ancestors and attention masks, for any backbone.

A row's tokens form a tree (`Backbone.advance`): each names its parent, sees its ancestors and itself, and its
position is the number of its ancestors. Most trees are a long causal prefix with few tokens branching off
it, so the prefix is kept as two numbers a row and ancestors are stored for the branch tokens alone.

Shape letters: B rows, P tokens already in the tree, Q new tokens, F tokens of the prefix, N branch tokens
(P = F + N).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TokenTree:
    """The tokens that a context holds.

    Nodes `0..F-1` are the prefix: in row b, node `start[b]` is a root, each later one the child of the one
    before it, and each earlier one a lone root (a left pad). Nodes F.. are branch tokens:
    `ancestors[b, n, m]` is true where branch token n sees branch token m (itself included), and
    `anchor[b, n]` is the last prefix node it sees, -1 if none.
    """

    start: Int[Tensor, " B"]
    prefix: int
    anchor: Int[Tensor, "B N"]
    ancestors: Bool[Tensor, "B N N"]

    def __len__(self) -> int:
        return self.prefix + self.anchor.shape[1]

    @classmethod
    def empty(cls, rows: int, device: torch.device) -> TokenTree:
        """A tree of no tokens."""
        return cls.chain(torch.zeros(rows, dtype=torch.int64, device=device), 0)

    @classmethod
    def chain(cls, start: Int[Tensor, " B"], length: int) -> TokenTree:
        """A tree that is all prefix: `start[b]` left pads, then a chain up to `length` tokens."""
        rows = len(start)
        ancestors = torch.zeros(rows, 0, 0, dtype=torch.bool, device=start.device)
        return cls(start, length, start.new_zeros(rows, 0), ancestors)

    def prefix_seen_by(self, anchor: Int[Tensor, "B Q"]) -> Bool[Tensor, "B Q F"]:
        """The prefix nodes from the row's start to `anchor`; of a left pad itself alone, of -1 none."""
        node = torch.arange(self.prefix, device=anchor.device)
        first = torch.minimum(self.start[:, None], anchor)
        return (node >= first[..., None]) & (node <= anchor[..., None])

    def grow(self, parent: Int[Tensor, "B Q"]) -> tuple[TokenTree, Bool[Tensor, "B Q nodes"]]:
        """The tree with Q more tokens, and which nodes each of them sees."""
        reach, top = _closure(parent - len(self))
        parent = parent.gather(1, top)
        in_branch = parent >= self.prefix
        branch_parent = (parent - self.prefix).clamp_min(0)
        anchor, branch = parent, self.ancestors.new_zeros(*parent.shape, 0)
        if branches := self.anchor.shape[1]:
            anchor = torch.where(in_branch, self.anchor.gather(1, branch_parent), parent)
            rows = branch_parent[..., None].expand(-1, -1, branches)
            branch = self.ancestors.gather(1, rows) & in_branch[..., None]
        seen = torch.cat([self.prefix_seen_by(anchor), branch, reach], dim=-1)
        older = torch.nn.functional.pad(self.ancestors, (0, parent.shape[1]))
        ancestors = torch.cat([older, torch.cat([branch, reach], dim=-1)], dim=1)
        return TokenTree(self.start, self.prefix, torch.cat([self.anchor, anchor], dim=1), ancestors), seen


def _closure(parent: Int[Tensor, "B Q"]) -> tuple[Bool[Tensor, "B Q Q"], Int[Tensor, "B Q"]]:
    """Of tokens of one call: who sees whom, and the eldest ancestor of each (itself if it has none).

    `parent[b, q]` counts within the call, negative where the parent is not of this call. By pointer doubling:
    after k rounds a token knows the ancestors up to 2^k - 1 generations back.
    """
    rows, new = parent.shape
    self_index = torch.arange(new, device=parent.device).expand(rows, new)
    inside = parent >= 0
    # A single token has no parent beside it. On an accelerator a look would cost more than the rounds do.
    apart, paths = new == 1, False
    if parent.device.type == "cpu" and not apart:
        apart, paths = not bool(inside.any()), bool((~inside | (parent == self_index - 1)).all())
    if apart:
        return torch.eye(new, dtype=torch.bool, device=parent.device).expand(rows, new, new), self_index
    if paths:  # one behind the other, as texts are
        first = self_index.masked_fill(inside, 0).cummax(dim=1).values
        seen, sees = self_index[:, None], self_index[..., None]
        return (seen <= sees) & (seen >= first[..., None]), first
    reach = torch.eye(new, dtype=torch.bool, device=parent.device).expand(rows, new, new)
    jump = torch.where(inside, parent, self_index)
    for _ in range((new - 1).bit_length()):
        reach = reach | reach.gather(1, jump[..., None].expand(-1, -1, new))
        jump = jump.gather(1, jump)
    return reach, jump


def chain_start(parent: Int[Tensor, "B Q"]) -> Int[Tensor, " B"] | None:
    """Where the chain of each row begins if every row is left pads and then one chain, else None."""
    start, is_chain, _ = _chain(parent)
    return start if is_chain else None


def _chain(parent: Int[Tensor, "B Q"]) -> tuple[Int[Tensor, " B"], bool, bool]:
    """Where chains would begin, whether every row is one, and whether any has left pads, in one look."""
    start = (parent < 0).sum(dim=1) - 1
    node = torch.arange(parent.shape[1], device=parent.device)
    expected = torch.where(node > start[:, None], node - 1, -1)
    is_chain, padded = torch.stack([(expected == parent).all(), start.any()]).tolist()
    return start, is_chain, padded


def extend(
    tree: TokenTree | None, parent: Int[Tensor, "B Q"]
) -> tuple[TokenTree, Bool[Tensor, "B Q nodes"] | None, Int[Tensor, "B Q"]]:
    """The tree with Q more tokens, what each of them sees, and their positions.

    `tree` is None before the first call. "What each sees" is None where that is everything before it in its
    row, so that the backbone may take its causal kernel.
    """
    rows, new = parent.shape
    if tree is None:
        start, is_chain, padded = _chain(parent)
        if is_chain:
            chain = TokenTree.chain(start, new)
            node = torch.arange(new, device=parent.device).expand(rows, new)
            return chain, chain.prefix_seen_by(node) if padded else None, (node - start[:, None]).clamp_min(0)
        tree = TokenTree.empty(rows, parent.device)
    grown, seen = tree.grow(parent)
    return grown, seen, seen.sum(dim=-1) - 1


def chain_parents(real: Bool[Tensor, "B L"]) -> Int[Tensor, "B L"]:
    """Parents of left-padded rows read as plain text; `real` is false at pads.

    >>> chain_parents(torch.tensor([[False, True, True]]))
    tensor([[-1, -1,  1]])
    """
    node = torch.arange(real.shape[1], device=real.device)
    follows = real & (node > real.int().argmax(dim=1, keepdim=True))
    return torch.where(follows, node - 1, -1)


def additive(seen: Bool[Tensor, "B Q nodes"], dtype: torch.dtype) -> Float[Tensor, "B 1 Q nodes"]:
    """The mask that attention adds to its scores.

    Float, since transformers' eager attention adds a boolean mask as 0 and 1 without complaint; the least
    finite number instead of -inf, which is NaN as soon as a row is masked throughout.
    """
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
