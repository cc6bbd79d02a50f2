"""Distances: by hand, against other libraries, and by their laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, special
from scipy import stats as scipy_stats
from torch import Tensor
from torch.nn.functional import kl_div, l1_loss, mse_loss

from lasar_kit.core import distances

DISTANCES = ("bikl", "cosine", "mse", "l1")
ALL = pytest.mark.parametrize("name", DISTANCES)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_bikl_by_hand() -> None:
    """p = (1/2, 1/2), q = (3/4, 1/4): KL(p|q) = ln 2 - ln(3)/2, KL(q|p) = (3/4) ln 3 - ln 2; mean ln(3)/8."""
    a, b = torch.zeros(2), torch.tensor([math.log(3.0), 0.0])
    assert float(distances.bikl(a, b)) == pytest.approx(math.log(3) / 8, rel=1e-6)
    assert float(distances.bikl(2 * a, 2 * b, temperature=2.0)) == pytest.approx(math.log(3) / 8, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
def test_bikl_against_torch_and_scipy(temperature: float) -> None:
    a, b = draw(3, 4, 7), draw(3, 4, 7, seed=1)
    log_p, log_q = (a / temperature).log_softmax(-1), (b / temperature).log_softmax(-1)
    both = [
        kl_div(x, y, reduction="none", log_target=True).sum(-1) for x, y in ((log_q, log_p), (log_p, log_q))
    ]
    found = distances.bikl(a, b, temperature)
    torch.testing.assert_close(found, (both[0] + both[1]) / 2)
    p, q = (special.softmax(x.double().numpy() / temperature, axis=-1) for x in (a, b))
    expected = (scipy_stats.entropy(p, q, axis=-1) + scipy_stats.entropy(q, p, axis=-1)) / 2
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_others_against_libraries() -> None:
    a, b = draw(5, 7), draw(5, 7, seed=1)
    cosine = torch.tensor([spatial.distance.cosine(x, y) for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    torch.testing.assert_close(distances.cosine(a, b), cosine.float())
    torch.testing.assert_close(distances.mse(a, b), mse_loss(a, b, reduction="none").mean(-1))
    torch.testing.assert_close(distances.l1(a, b), l1_loss(a, b, reduction="none").mean(-1))


def test_others_by_hand() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([4.0, 4.0])
    assert float(distances.cosine(a, b)) == pytest.approx(1 - math.sqrt(0.5), rel=1e-6)
    assert float(distances.mse(a, b)) == pytest.approx((1 + 16) / 2)
    assert float(distances.l1(a, b)) == pytest.approx((1 + 4) / 2)


vectors = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6)


@ALL
@given(values=st.data())
def test_distances_are_symmetric_never_negative_and_zero_on_identity(
    name: str, values: st.DataObject
) -> None:
    measure = getattr(distances, name)
    first = values.draw(vectors)
    a = torch.tensor(first)
    b = torch.tensor(
        values.draw(st.lists(st.floats(-50, 50, width=32), min_size=len(first), max_size=len(first)))
    )
    assert float(measure(a, b)) >= 0
    assert float(measure(a, b)) == pytest.approx(float(measure(b, a)), rel=1e-6)
    assert float(measure(a, a)) == 0
    assert math.isfinite(float(measure(a, b)))


@ALL
def test_bfloat16_is_computed_in_float32(name: str) -> None:
    measure = getattr(distances, name)
    a, b = draw(4, 300).bfloat16(), draw(4, 300, seed=1).bfloat16()
    found = measure(a, b)
    assert found.dtype == torch.float32
    assert torch.equal(found, measure(a.float(), b.float()))
    assert measure(a, b.float()).dtype == torch.float32


@ALL
def test_gradients_of_distances_equal_finite_differences(name: str) -> None:
    a, b = (draw(2, 4, seed=seed).double().requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(getattr(distances, name), (a, b))
