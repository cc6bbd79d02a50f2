"""Backbones that read each path of the token tree by itself: their context keeps inputs, not states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.token_tree import TokenTree, extend
from lasar_kit.core.values import Context


@dataclass(frozen=True)
class WindowContext(Context):
    """The inputs of all tokens, and their tree."""

    tree: TokenTree
    inputs: Float[Tensor, "B P D"]

    @property
    def length(self) -> int:
        return len(self.tree)


def paths(
    inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
) -> tuple[WindowContext, Int[Tensor, "B Q nodes"]]:
    """The context with Q more tokens, and the nodes on the path to each of these, itself the last: ascending,
    behind as many -1 as there are nodes that are not on it."""
    assert past is None or isinstance(past, WindowContext)
    tree, seen, _ = extend(past.tree if past else None, parent)
    if past is not None:
        inputs = torch.cat([past.inputs, inputs], dim=1)
    node = torch.arange(len(tree), device=inputs.device)
    if seen is None:
        seen = (node <= node[:, None]).expand(*parent.shape, len(tree))
    return WindowContext(tree, inputs), torch.where(seen, node, -1).sort(dim=-1).values
