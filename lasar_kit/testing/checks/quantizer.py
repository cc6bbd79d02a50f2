"""Laws for every quantizer (paper Eq. 1)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Int
from torch import Tensor

from lasar_kit.core.interfaces import Quantizer
from lasar_kit.testing.compare import difference, snapshot
from lasar_kit.testing.contract import Contract, Subject, expect, expect_close
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
    errors = _errors(component, codes, case.vectors)[1:]
    grown = any(after > before + 1e-4 for before, after in pairwise(errors))
    expect(not grown, f"squared error by level {[round(error, 4) for error in errors]}")


def _distinct(case: Catalogue) -> Catalogue:
    return replace(case, same=list(range(len(case.same))))


_DISTINCT = st.builds(_distinct, catalogues())
_LEFT = 1e-3
"""Share of the items' squares that counts as something left to encode."""


@quantizer.check("Encode at every level what is left over, and read every level in decode.", cases=_DISTINCT)
def every_level_is_felt(subject: Subject, case: Catalogue) -> None:
    """While anything is left to encode, a level tells items apart, and another code of it another vector."""
    component, codes = _fitted(subject, case)
    errors = _errors(component, codes, case.vectors)
    for level, size in enumerate(component.sizes):
        if size < 2 or errors[level] < _LEFT:
            continue
        used = torch.tensor(sorted(set(codes[:, level].tolist())))
        expect(len(used) > 1, f"level {level} gives all items code {used.tolist()}, {errors[level]:.3g} left")
        other = codes.clone()
        other[:, level] = torch.where(codes[:, level] == used[0], used[1], used[0])
        same = torch.equal(*(component.decode(each[:, : level + 1]) for each in (codes, other)))
        expect(not same, f"decode gives the same vectors for other codes of level {level}")


@quantizer.check("Fit level m to what the levels before left over, and use it.", cases=_DISTINCT)
def each_level_brings_items_nearer(subject: Subject, case: Catalogue) -> None:
    """While anything is left, a level of two codes or more brings the fitted items nearer, not as near."""
    component, codes = _fitted(subject, case)
    errors = _errors(component, codes, case.vectors)
    for level, (before, after) in enumerate(pairwise(errors)):
        nearer = after < before or before < _LEFT or component.sizes[level] < 2
        expect(nearer, f"level {level}: the squared error is {before:.4g} before it, {after:.4g} with it")


@quantizer.check("Encode each item by itself: not by its place, nor by what stands beside it.")
def items_are_encoded_by_themselves(subject: Subject, case: Catalogue) -> None:
    """Some of the fitted items, in another order, are as near to their reconstructions as among all."""
    component, codes = _fitted(subject, case)
    order = torch.arange(len(codes) - 1, -1, -1)[:5]
    items = case.vectors[order]
    found, expected = (component.decode(each) - items for each in (component.encode(items), codes[order]))
    told = f"items {order.tolist()} alone: an error is"
    expect_close(found.square().sum(-1), expected.square().sum(-1), told, 1e-3)


def _errors(component: Any, codes: Tensor, items: Tensor) -> list[float]:
    """Squared error of the first 0, 1, 2 ... levels, as a share of the items' squares."""
    vectors = [torch.zeros_like(items)]
    vectors += [component.decode(codes[:, :m]) for m in range(1, codes.shape[1] + 1)]
    return [float((items - each).square().sum() / items.square().sum()) for each in vectors]


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
