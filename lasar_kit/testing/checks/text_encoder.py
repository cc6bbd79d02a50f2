"""Laws for every text encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch

from lasar_kit.core.capabilities import embedder
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.interfaces import TextEncoder
from lasar_kit.testing.compare import snapshot
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
from lasar_kit.testing.item_strategies import Catalogue, catalogues

Inputs = tuple[pl.DataFrame, Sequences]


def _given(case: Catalogue) -> Inputs:
    return case.items, case.sequences


def _act(component: TextEncoder, inputs: Inputs) -> dict[str, Any]:
    return {"vectors": component.encode(*inputs)}


text_encoder = Contract(
    "text_encoder",
    TextEncoder,
    catalogues(),
    _given,
    _act,
    types={"vectors": (np.dtype(np.float32),)},
    examples=12,
)


@text_encoder.check("Return a matrix with a row an item, in the order of the table.")
def one_vector_an_item(subject: Subject, case: Catalogue) -> None:
    """There is one row for each item, and at least one column."""
    items, train = _given(case)
    shape = np.asarray(subject.component.encode(items, train)).shape
    expect(
        len(shape) == 2 and shape[0] == items.height and shape[1] > 0,
        f"{items.height} items gave shape {shape}",
    )


@text_encoder.check("Divide by no norm that may be 0: give items without text a zero vector.")
def vectors_are_finite(subject: Subject, case: Catalogue) -> None:
    """All numbers are finite, those of items without text and without company included."""
    vectors = np.asarray(subject.component.encode(*_given(case)))
    bad = ~np.isfinite(vectors).all(axis=1)
    expect(not bad.any(), f"the vector of item {bad.argmax()} holds {vectors[bad.argmax()].tolist()}")


@text_encoder.check(
    "Keep rows and items together: sort nothing, or undo it, and read `train` by item.", examples=6
)
def order_of_items_does_not_matter(subject: Subject, case: Catalogue) -> None:
    """Items in another order have their vectors in that order, but for a rotation of all of them."""
    items, train = _given(case)
    order = np.random.default_rng(case.seed).permutation(items.height)
    moved = Sequences(train.offsets, np.argsort(order)[train.items].astype(train.items.dtype))
    plain, other = (
        torch.from_numpy(np.asarray(subject.component.encode(*given))).double()
        for given in ((items, train), (items[order], moved))
    )
    # Products of vectors, since axes of an SVD may turn where they are equally long.
    expect_close(
        other @ other.T, (plain @ plain.T)[order][:, order], f"order {order.tolist()}: a product is", 1e-3
    )


_NOBODY = Sequences.of([])


@text_encoder.check(
    "Keep in state_dict all that encode fitted, and let embed fit nothing: neither to what comes later, nor "
    "to how much of it.",
    examples=6,
)
def later_items_are_embedded_as_the_catalogue_is(subject: Subject, case: Catalogue) -> None:
    """Where there is `embed`: restored from its saved state, it gives items of a catalogue of which nobody
    bought anything the vectors that `encode` gave them, whatever comes beside them."""
    fitted, restored = subject.fresh(), subject.fresh()
    if embedder(fitted) is None:
        return
    items = case.items
    vectors = torch.from_numpy(np.asarray(fitted.encode(items, _NOBODY)))
    restored.load_state_dict(snapshot(fitted.state_dict()))
    for rows in ([*range(items.height)], [3, 1], [0], [5]):
        found = np.asarray(restored.embed(items[rows]))
        expect(found.dtype == np.float32, f"vectors are {found.dtype}, not float32")
        expected = vectors[rows]
        same = found.shape == tuple(expected.shape)
        expect(same, f"items {rows}: shape {list(found.shape)}, not {list(expected.shape)}")
        expect_close(torch.from_numpy(found), expected, f"items {rows}, embedded later: a number is", 1e-3)
