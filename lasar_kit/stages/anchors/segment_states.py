"""Hidden states at the ends of reasoning segments, read by a frozen backbone in batches of like length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.process.world import in_shares

SegmentContext = Literal["segment_only", "cumulative", "prompt_prefixed"]
"""The tokens before a segment as it is read: none, the segments before it, or these and the prompt."""

Chain = tuple[Int[np.ndarray, " L"], Int[np.ndarray, " reads"]]
"""Token ids to read in one go, and the places at which the state is asked for."""


def pieces_of(text: str, segments: Sequence[str]) -> list[str]:
    """The segments of a text, each with what parts it from the one before.

    That is what stands between them in the text, or a space where a segment's words do not stand there.
    """
    pieces: list[str] = []
    end = 0
    for segment in segments:
        words = r"\s+".join(map(re.escape, segment.split()))  # a segmenter may join lines
        match = re.compile(words).search(text, end)
        between = " " if match is None else text[end : match.start()]
        pieces.append(between + segment if pieces else segment)
        end = end if match is None else match.end()
    return pieces


def chains_of(
    segments: Sequence[Int[np.ndarray, " l"]],
    context: SegmentContext,
    start: Int[np.ndarray, " s"],
    prompt: Int[np.ndarray, " P"],
) -> list[Chain]:
    """One text's segments as chains; their reads, in order, are the ends of the segments.

    Every chain begins as texts do in training: by the start token, if there is one, or by the prompt.
    """
    before = prompt if context == "prompt_prefixed" else start
    if context == "segment_only":
        return [(np.concatenate([before, one]), np.array([len(before) + len(one) - 1])) for one in segments]
    ends = len(before) + np.cumsum([len(segment) for segment in segments]) - 1
    return [(np.concatenate([before, *segments]), ends)]


@torch.inference_mode()
def read_chains(
    backbone: Any,
    chains: Sequence[Chain],
    batch_tokens: int,
    device: torch.device,
) -> list[tuple[int, Float[np.ndarray, "reads D"]]]:
    """`(index, states)` of every chain, the shortest first; a batch holds at most `batch_tokens` tokens.

    All processes share the batches and get all states.
    States are those after the final norm (paper 2.3: last-token hidden state of the final layer).
    """
    batches = _batches(chains, batch_tokens)

    def read(batch: Int[np.ndarray, " b"]) -> list[Float[np.ndarray, "reads D"]]:
        hidden = _read(backbone, [chains[index][0] for index in batch], device)
        width, reads = hidden.shape[1], [chains[index][1] for index in batch]
        columns = [width - len(chains[index][0]) + own for index, own in zip(batch, reads, strict=True)]
        counts = [len(own) for own in reads]
        # All at once: each way off an accelerator waits for it.
        at = torch.from_numpy(np.stack([np.repeat(np.arange(len(batch)), counts), np.concatenate(columns)]))
        row, column = at.to(device)
        found = hidden[row, column].float().cpu().numpy()
        return np.split(found, np.cumsum(counts)[:-1])

    rows_read = in_shares(batches, read)
    return [
        (int(index), states)
        for batch, rows in zip(batches, rows_read, strict=True)
        for index, states in zip(batch, rows, strict=True)
    ]


def _batches(chains: Sequence[Chain], batch_tokens: int) -> list[Int[np.ndarray, " b"]]:
    """Chains of similar length together, as many as fit."""
    order = np.argsort([len(ids) for ids, _ in chains], kind="stable")
    batches, start = [], 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * len(chains[order[stop]][0]) <= batch_tokens:
            stop += 1
        batches.append(order[start:stop])
        start = stop
    return batches


def _read(
    backbone: Any, rows: Sequence[Int[np.ndarray, " L"]], device: torch.device
) -> Float[Tensor, "B L D"]:
    """States of left-padded rows."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), backbone.tokenizer.pad_token_id, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, width - len(row) :] = row
    real = torch.arange(width) >= width - torch.tensor([len(row) for row in rows])[:, None]
    inputs = backbone.embed(torch.from_numpy(ids).to(device))
    hidden: Tensor = backbone.advance(inputs, chain_parents(real).to(device), None)[0]
    return hidden
