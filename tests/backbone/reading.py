"""Prompts of token ids, and the two ways that a backbone reads them: as prompts, and by the token tree."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lasar_kit.core.chains import read_chains
from lasar_kit.core.lesson import Prompts


def prompts(rows: list[list[int]]) -> Prompts:
    """One prompt a row, padded on the left."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    last = torch.full((len(rows), 1), width - 1)
    lengths = torch.tensor([len(row) for row in rows])
    return Prompts(ids, lengths, last, torch.ones_like(last).bool(), lengths[:, None], torch.zeros(0).long())


def behind(net: Any, rows: list[list[int]], token: int) -> Tensor:
    """The states [B, D] behind one more token after each prompt, which both ways must agree on."""
    asked = prompts(rows)
    read = net.read_prompts(asked)
    states, context = read_chains(net, asked.ids, asked.lengths)
    torch.testing.assert_close(read.h0, states[:, -1:])
    more = torch.full((len(rows), 1), token)
    found, expected = (net.advance(net.embed(more), read.tip, past)[0] for past in (read.context, context))
    torch.testing.assert_close(found, expected)
    return found[:, 0]  # type: ignore[no-any-return]
