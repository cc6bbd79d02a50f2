"""Optimised product quantization against plain products, and its codebooks against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.cluster import KMeans
from torch import Tensor

from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.quantizer.opq.config import OpqConfig
from lasar_plugins.quantizer.opq.quantizer import Opq, balanced


def opq(**options: object) -> Opq:
    return Opq(OpqConfig.model_validate({"use": "opq", "levels": 3, "codes": 4, **options}), Env(seed=1))


def error(made: Opq, items: Tensor) -> float:
    return float((made.decode(made.encode(items)) - items).square().sum())


@pytest.fixture(scope="module")
def items() -> Tensor:
    """Coordinates that go together across the parts of a plain cut, and are of unequal size."""
    torch.manual_seed(0)
    return torch.randn(120, 3) @ torch.randn(3, 8) + 0.3 * torch.randn(120, 8) * torch.arange(1, 9) + 5


def test_each_part_has_its_nearest_centroid_whatever_the_others_have(items: Tensor) -> None:
    """All 64 combinations of codes are tried: none is nearer than the codes of each level by itself."""
    made = opq()
    made.fit(items)
    every = torch.cartesian_prod(*[torch.arange(4)] * 3)
    best = torch.cdist(items.double(), made.decode(every).double()).square().min(dim=1).values
    torch.testing.assert_close(best.sum(), torch.tensor(error(made, items)).double(), rtol=1e-5, atol=0)
    for one in range(3):
        for other in range(one):
            products = made.codebooks[one] @ made.codebooks[other].T
            torch.testing.assert_close(products, torch.zeros(4, 4), atol=1e-4, rtol=0)


def test_turning_does_better_than_a_plain_cut(items: Tensor) -> None:
    made, unturned = opq(), opq(rounds=0)
    for each in (made, unturned):
        each.fit(items)
    plain = 0.0
    for part in np.array_split(items.numpy(), 3, axis=1):
        plain += KMeans(4, n_init=1, random_state=1).fit(part).inertia_
    assert error(made, items) < error(unturned, items) < plain


def test_axes_are_dealt_out_by_their_variances() -> None:
    """Of variances 64, 16, 8, 2 two parts get the first with the last, and the two between."""
    rows = np.diag(np.sqrt([8.0, 64.0, 2.0, 16.0]))
    turned = balanced(rows, [2, 2])
    assert [sorted(np.abs(turned[:, part]).argmax(0).tolist()) for part in ([0, 1], [2, 3])] == [
        [1, 2],
        [0, 3],
    ]


def test_its_state_is_all_of_it(items: Tensor, tmp_path: Path) -> None:
    made, again = opq(), opq()
    made.fit(items)
    save_file(made.state_dict(), tmp_path / "state.safetensors")
    again.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(again.encode(items), made.encode(items))
    assert torch.equal(again.decode(made.encode(items)), made.decode(made.encode(items)))


def test_more_levels_than_coordinates_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"quantizer opq: 3 levels cut vectors of 2 coordinates .*; lower levels"
    ):
        opq().fit(torch.randn(9, 2))
