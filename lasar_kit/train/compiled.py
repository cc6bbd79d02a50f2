"""Compilation of a backbone's repeated blocks by torch.compile.

Block by block, in place: names of parameters stay, so checkpoints do too, and what is around the blocks (tree
masks, caches) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from lasar_kit.spec.compilation import Compiler


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a model: members of its outermost lists whose members are all of one class."""
    for child in module.children():
        members = list(child.children()) if isinstance(child, nn.ModuleList) else []
        if members and len({type(member) for member in members}) == 1:
            yield from members
        else:
            yield from blocks(child)


def compile_blocks(module: nn.Module, compiler: Compiler) -> int:
    """Compile the blocks of a model, for all lengths and batch sizes; how many there are."""
    found = list(blocks(module))
    # Blocks of a class share what is kept of compilations, of which there is one a block and kind of reading.
    settings = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, 8 * len(found))
    for block in found:
        block.compile(backend=compiler, dynamic=True)
    return len(found)
