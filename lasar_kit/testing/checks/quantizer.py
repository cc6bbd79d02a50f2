"""What every quantizer must do (paper Eq. 1)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.interfaces import Quantizer
from lasar_kit.testing.compare import difference, snapshot
from lasar_kit.testing.contract import Contract, Subject, expect
from lasar_kit.testing.item_strategies import Catalogue, catalogues


def _given(case: Catalogue) -> Tensor:
    return case.vectors


def _fit(component: Quantizer, inputs: Tensor) -> None:
    component.fit(inputs)


def _act(component: Quantizer, inputs: Tensor) -> dict[str, Any]:
    codes = component.encode(inputs)
    return {"codes": codes, "vectors": component.decode(codes), "sizes": component.sizes}


quantizer = Contract(
    "quantizer",
    Quantizer,
    catalogues(),
    _given,
    _act,
    settle=_fit,
    learns=True,
    types={"codes": (torch.int64,), "vectors": (torch.float32,)},
    examples=15,
)


def _fitted(subject: Subject, case: Catalogue) -> tuple[Any, Int[Tensor, "I M"]]:
    component = subject.fresh()
    component.fit(case.vectors)
    return component, component.encode(case.vectors)


@quantizer.check("Give each item one code a level, from 0 up to sizes[level] - 1.")
def codes_are_in_range(subject: Subject, case: Catalogue) -> None:
    """Codes are whole numbers, one a level, 0 or more and less than that level's size."""
    component, codes = _fitted(subject, case)
    shape = [len(case.vectors), len(component.sizes)]
    expect(list(codes.shape) == shape, f"codes of shape {list(codes.shape)}, not [I, M] = {shape}")
    for level, size in enumerate(component.sizes):
        least, most = int(codes[:, level].min()), int(codes[:, level].max())
        expect(least >= 0 and most < size, f"level {level} of {size} codes has codes from {least} to {most}")


@quantizer.check("Let decode sum as many codebooks as codes has columns.")
def decode_reads_any_number_of_levels(subject: Subject, case: Catalogue) -> None:
    """The first m codes give a finite vector as wide as the items, for every m."""
    component, codes = _fitted(subject, case)
    for levels in range(1, codes.shape[1] + 1):
        vectors = component.decode(codes[:, :levels])
        sound = vectors.shape == case.vectors.shape and vectors.isfinite().all()
        expect(
            sound,
            f"{levels} levels gave {list(vectors.shape)}, not finite vectors {list(case.vectors.shape)}",
        )


@quantizer.check("Fit level m to what the levels before it left over: item - decode(codes[:, :m]).")
def error_does_not_grow_by_level(subject: Subject, case: Catalogue) -> None:
    """Each further level brings the reconstructions of the fitted items nearer, or leaves them as near."""
    component, codes = _fitted(subject, case)
    items = case.vectors
    vectors = [
        torch.zeros_like(items),
        *(component.decode(codes[:, :m]) for m in range(1, codes.shape[1] + 1)),
    ]
    errors = [float((items - each).square().sum()) for each in vectors[1:]]
    spread = float(items.square().sum())
    grown = any(after > before + 1e-4 * max(spread, 1.0) for before, after in pairwise(errors))
    expect(not grown, f"squared error by level {[round(error, 4) for error in errors]}")


@quantizer.check("Change codebooks in fit alone.")
def only_fit_changes_it(subject: Subject, case: Catalogue) -> None:
    """`encode` and `decode` repeat, and leave the state as it was."""
    component, codes = _fitted(subject, case)
    before = snapshot(dict(component.state_dict()))
    component.decode(codes)
    expect(
        torch.equal(component.encode(case.vectors), codes), "the same items, encoded again, have other codes"
    )
    where = difference(before, snapshot(dict(component.state_dict())))
    expect(not where, f"the state changed: {where}")
