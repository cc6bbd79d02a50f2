"""Whether a model reads a token tree exactly, found out by reading a small one."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.errors import UserError

PARENTS = (-1, -1, 1, 2, 3, 4, 5, 6, 6, 7, 3, 8, 9, 9, 10)
"""A left pad, a chain of six, then branches; read in calls that end at `CUTS`."""
CUTS = (7, 10, 15)

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""How far logits may lie apart, relative to the largest."""


def refuse_inexact(backbone: Any, place: str, name: str) -> None:
    """`UserError` unless logits read through the tree are those of plain forwards, path by path."""
    # What a forward makes of arguments it was not written for is not to be foreseen.
    try:
        gap = furthest(backbone)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{place}: a {name!r} model cannot be read as a token tree ({reason})") from error
    if not gap <= TOLERANCE.get(backbone.model.dtype, 0.05):
        raise UserError(
            f"{place}: a {name!r} model is read wrongly as a token tree: logits are off by {gap:.1%} of the "
            "largest"
        )


@torch.no_grad()
def furthest(backbone: Any) -> float:
    """The largest gap between logits of the tree and of plain forwards, as a share of the largest logit."""
    training = backbone.training
    backbone.eval()
    table = backbone.model.get_input_embeddings()
    ids = torch.randperm(len(backbone.tokenizer), generator=torch.Generator().manual_seed(0))
    ids = ids[torch.arange(len(PARENTS)) % len(ids)].to(table.weight.device)
    try:
        read = _through_the_tree(backbone, ids)
        plain = torch.stack([_plainly(backbone.model, ids[_path(node)]) for node in range(1, len(PARENTS))])
    finally:
        backbone.train(training)
    gap = (read[1:].float() - plain.float()).abs().max() / plain.float().abs().max()
    return float(gap)


def _path(node: int) -> list[int]:
    return [*(_path(PARENTS[node]) if PARENTS[node] >= 0 else []), node]


def _through_the_tree(backbone: Any, ids: Int[Tensor, " n"]) -> Float[Tensor, "n V"]:
    parent = torch.tensor(PARENTS, device=ids.device)
    logits, past, begin = [], None, 0
    for end in CUTS:
        hidden, past = backbone.advance(backbone.embed(ids[None, begin:end]), parent[None, begin:end], past)
        logits.append(backbone.logits(hidden)[0])
        begin = end
    return torch.cat(logits)


def _plainly(model: Any, path: Int[Tensor, " n"]) -> Float[Tensor, " V"]:
    logits: Tensor = model(input_ids=path[None], use_cache=False).logits[0, -1]
    return logits
