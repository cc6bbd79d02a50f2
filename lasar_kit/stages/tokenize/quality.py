"""How well semantic IDs describe a catalogue: reconstruction, use of codes, collisions."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.table import Table
from torch import Tensor

from lasar_kit.core.interfaces import Quantizer

ROWS = 1 << 16
"""Items that are compared with their reconstructions at once."""


def quantization_report(
    codes: Int[Tensor, "I M"],
    embeddings: Float[Tensor, "I E"],
    quantizer: Quantizer,
    resolved: Int[Tensor, "I N"],
    collisions: dict[str, float | str],
) -> dict[str, Any]:
    """Numbers and lists by level, ready for JSON.

    `codes` are the quantizer's own and `resolved` those after a collision rule, `collisions` being what
    `resolve` reports. `relative_error[m]` is the squared error of the first m + 1 levels summed over the
    catalogue, divided by the summed squares of the embeddings; `mean_squared_error` is its mean over
    items and coordinates. `usage` is the share of a level's codes that any item has, `perplexity` the
    exponential of the entropy of their frequencies (K if all K are equally frequent). All these describe
    `codes`, so that a level that collapsed cannot hide behind reassignment; `relative_error_resolved` is
    the error of all levels after it. `identical` is the largest number of items with one and the same
    embedding, `alike` how many have that of another. `caution` says where either is most of the catalogue,
    and they share a SID for it, or where an error is above 1, which is that of no code at all.
    """
    levels = codes.shape[1]
    energy = math.fsum(float(rows.double().square().sum()) for rows in torch.split(embeddings, ROWS))
    cells = max(embeddings.numel(), 1)
    errors = [_squared_error(codes[:, : level + 1], embeddings, quantizer) for level in range(levels)]
    after = _squared_error(resolved[:, :levels], embeddings, quantizer)
    columns = codes.cpu().numpy().T
    counts = [
        np.bincount(column, minlength=size) for column, size in zip(columns, quantizer.sizes, strict=True)
    ]
    same = _same(embeddings)
    report = {
        "items": len(codes),
        "identical": int(same.max(initial=0)),
        "alike": int(same[same > 1].sum()),
        "sizes": list(quantizer.sizes),
        "relative_error": [error / energy if energy else 0.0 for error in errors],
        "mean_squared_error": [error / cells for error in errors],
        "usage": [float((count > 0).mean()) for count in counts],
        "perplexity": [perplexity(count) for count in counts],
        "relative_error_resolved": after / energy if energy else 0.0,
        "collisions": collisions,
    }
    caution = _caution(report)
    return report | ({"caution": caution} if caution else {})


def _caution(report: dict[str, Any]) -> str:
    """A line about SIDs that tell little of their items; empty where there is nothing to say."""
    identical, alike, items = report["identical"], report["alike"], report["items"]
    collisions = report["collisions"]
    # A quantizer that reads its SIDs from a file tells items of one embedding apart.
    if items < 2 * identical <= 2 * int(collisions["largest_group"]):
        return (
            f"{identical:,} of {items:,} items have the same embedding, so their SIDs are arbitrary. Have "
            "they no text? 'text_encoder: cooccurrence' needs none"
        )
    if items < 2 * alike <= 2 * int(collisions["items_sharing"]):
        return (
            f"{alike:,} of {items:,} items have the embedding of another, so what tells these apart in "
            "their SIDs is arbitrary. Do their texts differ in numbers or rare words alone? 'text_encoder: "
            "cooccurrence' reads none"
        )
    return _worse_than_none(
        report["relative_error"][-1], report["relative_error_resolved"], collisions["rule"]
    )


def _worse_than_none(error: float, resolved: float, rule: str) -> str:
    """A line about an error above 1; empty where there is none."""
    if max(error, resolved) <= 1:
        return ""
    after = f", and {resolved:.2f} after 'collision: {rule}'" if resolved != error else ""
    mend = ""
    if error <= 1:
        mend = ". Have many items no text, or the same? 'collision: suffix' moves none"
    return f"the relative error is {error:.2f}{after}; above 1, SIDs tell less of the items than none{mend}"


def perplexity(counts: Int[np.ndarray, " K"]) -> float:
    """exp of the entropy of a frequency table; 0 for an empty one.

    >>> round(perplexity(np.array([3, 3, 0])), 6)
    2.0
    """
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def _same(embeddings: Float[Tensor, "I E"]) -> Int[np.ndarray, " n"]:
    """How many rows are one and the same, for each that there is."""
    # Told apart by a digest of 8 bytes: a copy of all rows would be as large as they are.
    digests = [
        int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "big")
        for rows in torch.split(embeddings, ROWS)
        for row in (rows + 0.0).cpu().numpy()  # -0.0 is 0.0
    ]
    return np.unique(np.array(digests, dtype=np.uint64), return_counts=True)[1]


def _squared_error(
    codes: Int[Tensor, "I m"], embeddings: Float[Tensor, "I E"], quantizer: Quantizer
) -> float:
    parts = zip(torch.split(codes, ROWS), torch.split(embeddings, ROWS), strict=True)
    return math.fsum(float((rows - quantizer.decode(own)).double().square().sum()) for own, rows in parts)


def quantization_table(report: dict[str, Any]) -> Table:
    """The report for a terminal, a row a level, collisions underneath."""
    collisions = report["collisions"]
    table = Table(
        title=f"Semantic IDs of {report['items']:,} items",
        caption=(
            f"{collisions['items_sharing']:,} items shared their SID in {collisions['groups']:,} groups of "
            f"at most {collisions['largest_group']:,}; {collisions['rule']}: {collisions['moved']:,} moved, "
            f"relative error then {report['relative_error_resolved']:.4f}"
        ),
    )
    table.add_column("level")
    for heading in ("codes", "used", "perplexity", "relative error", "mean squared error"):
        table.add_column(heading, justify="right")
    for level, size in enumerate(report["sizes"]):
        table.add_row(
            str(level + 1),
            str(size),
            f"{report['usage'][level]:.1%}",
            f"{report['perplexity'][level]:.1f}",
            f"{report['relative_error'][level]:.4f}",
            f"{report['mean_squared_error'][level]:.3g}",
        )
    return table
